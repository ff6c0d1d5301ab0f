#include "common/channel.h"
#include "common/process/process.h"
#include "tests/integration/controller/controller_fixture.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace vmkeep::test {
namespace {

using ::testing::AllOf;

// Who a caller is over mutual TLS, and what follows from it.
class IdentityTest : public ControllerTest {
 protected:
  IdentityTest() {
    OpenSsl(
        absl::StrCat("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
                     "-subj /CN=test-ca -keyout ",
                     dir_.path("ca.key"), " -out ", dir_.path("ca.pem")));
    options_.listen.emplace_back("127.0.0.1:0");
    options_.tls = Issue("controller");
    options_.operators = {"ops"};
    StopController();
    StartController();
    AddHost("kvm-1", {"web-1", "web-2"});
  }

  static void OpenSsl(const std::string& arguments) {
    std::vector<std::string> argv = absl::StrSplit(absl::StrCat("openssl ", arguments), ' ');
    const auto ran = process::RunToEnd(argv, absl::Seconds(60));
    ASSERT_THAT(ran, IsOk());
    ASSERT_TRUE(ran->exit_status.ok()) << ran->err;
  }
  TlsFiles Issue(const std::string& who) const {
    const std::string stem = dir_.path(who);
    EXPECT_TRUE(WriteFile(stem + ".ext", "subjectAltName=IP:127.0.0.1\n"));
    OpenSsl(absl::StrCat("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=", who,
                         " -keyout ", stem, ".key -out ", stem, ".csr"));
    OpenSsl(absl::StrCat("x509 -req -days 2 -CAcreateserial -in ", stem, ".csr -CA ",
                         dir_.path("ca.pem"), " -CAkey ", dir_.path("ca.key"), " -extfile ", stem,
                         ".ext -out ", stem, ".pem"));
    return {dir_.path("ca.pem"), stem + ".pem", stem + ".key"};
  }
  // From now on the calls come from them.
  void CallAs(const std::string& who) {
    const auto channel = Dial(absl::StrCat("127.0.0.1:", app_->ports()[1]), Issue(who));
    ASSERT_THAT(channel, IsOk());
    channel_ = *channel;
    backups_ = pb::BackupService::NewStub(channel_);
    inventory_ = pb::InventoryService::NewStub(channel_);
  }
};

TEST_F(IdentityTest, ACertificatesCommonNameIsThePrincipal) {
  CallAs("web-ui");
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup created, Create("web-1", "nightly"));
  EXPECT_EQ(created.created_by(), "web-ui");
}

TEST_F(IdentityTest, OnlyOperatorsTouchHosts) {
  CallAs("web-ui");
  EXPECT_THAT(Register("kvm-2", "unix:/fake/kvm-2"),
              AllOf(StatusIs(absl::StatusCode::kPermissionDenied), HasReason("ACCESS_DENIED")));
  // Refused before it is looked at: a stranger learns nothing from the validation.
  EXPECT_THAT(Register("NOT AN ID", ""), HasReason("ACCESS_DENIED"));
  CallAs("ops");
  EXPECT_THAT(Register("kvm-2", "unix:/fake/kvm-2"), IsOk());
}

TEST_F(IdentityTest, ARequestIdIsItsCallersOwn) {
  const auto same_id = [](pb::CreateBackupRequest& request) { request.set_request_id("job-1"); };
  CallAs("web-ui");
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup first, Create("web-1", "nightly", same_id));
  CallAs("batch");
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup second, Create("web-2", "nightly", same_id));
  EXPECT_NE(first.id(), second.id());
}

TEST_F(IdentityTest, WithoutACertificateNobodyIsLetIn) {
  const auto channel = Dial(absl::StrCat("127.0.0.1:", app_->ports()[1]), {});
  ASSERT_THAT(channel, IsOk());
  backups_ = pb::BackupService::NewStub(*channel);
  EXPECT_THAT(List({}), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace vmkeep::test
