// The commands that ask or tell one thing, as processes against a fake controller.

#include "common/error.h"
#include "tests/unit/vmkeepctl/process_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vmkeep::ctl {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

TEST_F(ProcessTest, RetryAnswersAtOnceOrWaits) {
  controller_.SetBackup(Failed(true));
  const ChildResult asked = Run({"backup", "retry", kId, "--etag", "e1"});
  EXPECT_EQ(asked.exit_code, 0) << asked.err;
  EXPECT_EQ(asked.out, absl::StrCat("backup ", kId, " (nightly) of VM web-1 is REQUESTED\n"));
  ASSERT_THAT(controller_.retries(), SizeIs(1));
  EXPECT_EQ(controller_.retries()[0].etag(), "e1");

  controller_.SetBackup(Failed(true));
  controller_.AddWatch({{Message(MakeBackup(v1::Backup::RUNNING), "t1")}, absl::OkStatus()});
  const ChildResult waited = Run({"backup", "retry", kId, "--wait", "--json"});
  EXPECT_EQ(waited.exit_code, 0) << waited.err;
  EXPECT_EQ(ParseJsonAs<v1::Backup>(waited.out).state(), v1::Backup::RUNNING);
}

TEST_F(ProcessTest, RetryThatIsRefusedFails) {
  controller_.FailNext(MakeError(absl::StatusCode::kFailedPrecondition, "ILLEGAL_TRANSITION",
                                 "a backup that is RUNNING cannot be tried again"));
  const ChildResult result = Run({"backup", "retry", kId});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("(ILLEGAL_TRANSITION)"));
}

TEST_F(ProcessTest, AFailureIsExplained) {
  controller_.SetBackup(Failed(true));
  const ChildResult got = Run({"backup", "get", kId});
  EXPECT_THAT(got.out,
              AllOf(HasSubstr("failure:    the repository lacks 2 GiB (REPOSITORY_FULL"),
                    HasSubstr("what to do: Scrub backups that are not needed"),
                    HasSubstr(absl::StrCat("\"vmkeepctl backup retry ", kId, " --wait\""))));

  controller_.SetBackup(MakeBackup(v1::Backup::REQUESTED));
  controller_.AddWatch({{Message(Failed(false), "t1")}, absl::OkStatus()});
  const ChildResult waited = Run({"backup", "create", "web-1", "nightly", "--wait"});
  EXPECT_THAT(waited.err, HasSubstr("what to do: Scrub backups that are not needed"));
}

TEST_F(ProcessTest, HostsAreDrainedAndTakenBack) {
  const ChildResult drained = Run({"host", "drain", "kvm-1"});
  EXPECT_EQ(drained.exit_code, 0) << drained.err;
  EXPECT_THAT(drained.out, HasSubstr("availability: ONLINE, draining\n"));
  EXPECT_THAT(drained.err, HasSubstr("vmkeepctl backup watch --host kvm-1 --state BUILDING"));
  const ChildResult back = Run({"host", "undrain", "kvm-1", "--json"});
  EXPECT_FALSE(ParseJsonAs<v1::Host>(back.out).draining());
  EXPECT_THAT(back.err, IsEmpty());

  ASSERT_THAT(controller_.host_updates(), SizeIs(2));
  EXPECT_TRUE(controller_.host_updates()[0].draining());
  EXPECT_TRUE(controller_.host_updates()[1].has_draining());
  EXPECT_FALSE(controller_.host_updates()[1].draining());
  EXPECT_THAT(controller_.host_updates()[1].update_mask().paths(), ElementsAre("draining"));
  EXPECT_EQ(Run({"host", "drain", "nobody"}).exit_code, 1);
}

TEST_F(ProcessTest, AnotherExecutorIsConfirmed) {
  const std::string uuid = "0b1c0000-0000-4000-8000-000000000009";
  const ChildResult result = Run({"host", "confirm", "kvm-2", uuid});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr(absl::StrCat("executor id:  ", uuid, "\n")));
  ASSERT_THAT(controller_.host_updates(), SizeIs(1));
  EXPECT_THAT(controller_.host_updates()[0].update_mask().paths(), ElementsAre("executor_id"));
  EXPECT_FALSE(controller_.host_updates()[0].has_draining());
}

TEST_F(ProcessTest, AHostIsForgottenOnce) {
  const ChildResult result = Run({"host", "delete", "kvm-2"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "host kvm-2 is forgotten\n");
  EXPECT_THAT(Run({"host", "list"}).out, Not(HasSubstr("kvm-2")));
  EXPECT_EQ(Run({"host", "delete", "kvm-2"}).exit_code, 1);
  EXPECT_EQ(Run({"host", "delete", "kvm-1", "--json"}).out, "{}\n");
}

TEST_F(ProcessTest, VmsAreRegisteredAndFound) {
  const std::string uuid = "6f0f5b1e-0000-4000-8000-000000000002";
  const ChildResult registered = Run({"vm", "register", "shop-db", uuid});
  EXPECT_EQ(registered.exit_code, 0) << registered.err;
  EXPECT_THAT(registered.out, AllOf(HasSubstr("shop-db\n"), HasSubstr(uuid)));
  EXPECT_THAT(Run({"vm", "get", uuid}).out,
              AllOf(HasSubstr("shop-db\n"), HasSubstr("overlay: none\n")));
  EXPECT_EQ(ParseJsonAs<v1::Vm>(Run({"vm", "get", "shop-db", "--json"}).out).uuid(), uuid);
  EXPECT_EQ(Run({"vm", "get", "nobody"}).exit_code, 1);
}

TEST_F(ProcessTest, AVmOnAnOverlaySaysAllThatIsKnown) {
  EXPECT_THAT(Run({"vm", "get", "web"}).out,
              AllOf(HasSubstr("overlay since:  2025-11-24T16:00:00Z\n"),
                    HasSubstr("overlay size:   3.00 MiB\n"), HasSubstr("overlay backup: b7\n"),
                    HasSubstr("overlay files:  /var/a.vmkeep, /var/b.vmkeep\n"),
                    HasSubstr("in the way:     MERGE_FAILED: no space left\n"),
                    HasSubstr("what to do:     NEEDS ATTENTION: merge it by hand\n")));
}

TEST_F(ProcessTest, OnlyVmsOnAnOverlay) {
  Run({"vm", "register", "other", "6f0f5b1e-0000-4000-8000-000000000002"});
  const ChildResult result = Run({"vm", "list", "--overlay", "--host", "kvm-1"});
  EXPECT_EQ(
      result.out,
      "NAME  ID     HOST   SINCE                     SIZE  BACKUP  WHY                          "
      "WHAT TO DO                         FILES\n"
      "web   web-1  kvm-1  2025-11-24T16:00:00Z  3.00 MiB  b7      MERGE_FAILED: no space left  "
      "NEEDS ATTENTION: merge it by hand  /var/a.vmkeep, /var/b.vmkeep\n");
  ASSERT_THAT(controller_.vm_lists(), SizeIs(1));
  EXPECT_TRUE(controller_.vm_lists()[0].on_overlay());
  EXPECT_THAT(controller_.vm_lists()[0].host_ids(), ElementsAre("kvm-1"));
  EXPECT_EQ(
      ParseJsonAs<v1::ListVmsResponse>(Run({"vm", "list", "--overlay", "--json"}).out).vms_size(),
      1);

  controller_.SetVms({});
  EXPECT_EQ(Run({"vm", "list", "--overlay"}).err, "no VM runs on an overlay\n");
}

TEST_F(ProcessTest, AnOlderControllerIsNamedAsTheCause) {
  controller_.FailNext(absl::UnimplementedError(""));
  const ChildResult result = Run({"host", "drain", "kvm-1"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("is older than this vmkeepctl, upgrade it"),
                                HasSubstr("(CONTROLLER_TOO_OLD)")));
}

TEST_F(ProcessTest, EveryFieldOfTheFilterCanBeGiven) {
  controller_.SetBackup(MakeBackup(v1::Backup::RUNNING));
  const ChildResult result =
      Run({"backup", "list", kId, "--repository", "secondary", "--repository", "1",
           "--repository-id", "r-1", "--created-after", "2026-11-24", "--created-before",
           "2026-11-25T22:05:09.5+01:00", "--oldest-first"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  ASSERT_THAT(controller_.lists(), SizeIs(1));
  const v1::ListBackupsRequest request = controller_.lists()[0];
  EXPECT_EQ(request.order_by(), "create_time");
  EXPECT_THAT(request.filter().ids(), ElementsAre(kId));
  EXPECT_TRUE(request.filter().show_closed());
  EXPECT_THAT(request.filter().repositories(), ElementsAre(2, 1));
  EXPECT_THAT(request.filter().repository_ids(), ElementsAre("r-1"));
  EXPECT_EQ(request.filter().created_after().seconds(), 1'795'478'400);
  EXPECT_EQ(request.filter().created_before().seconds(), 1'795'640'709);
  EXPECT_EQ(request.filter().created_before().nanos(), 500'000'000);
  EXPECT_EQ(Run({"backup", "list", "--created-after", "yesterday"}).exit_code, 2);
}

TEST_F(ProcessTest, CompletionAndManNeedNoController) {
  for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{
           {"completion", "bash"}, {"completion", "zsh"}, {"completion", "fish"}, {"man"}}) {
    std::vector<std::string> arguments = {"--server", "no address at all"};
    arguments.insert(arguments.end(), command.begin(), command.end());
    const ChildResult result = Run(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("undrain"));
  }
  EXPECT_EQ(Run({"completion", "tcsh"}).exit_code, 2);
}

}  // namespace
}  // namespace vmkeep::ctl
