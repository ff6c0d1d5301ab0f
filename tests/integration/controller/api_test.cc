#include "tests/integration/controller/controller_fixture.h"

#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.pb.h"
#include <google/protobuf/descriptor.h>
#include <grpcpp/generic/generic_stub.h>

#include <future>
#include <set>

namespace vmkeep::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// What the public API promises, over the wire.
class ApiTest : public ControllerTest {
 protected:
  ApiTest() { AddHost("kvm-1", {"web-1", "web-2"}); }

  static std::string DetailOf(const absl::Status& status, const std::string& key) {
    const ErrorMetadata details = ErrorDetails(status);
    const auto found = details.find(key);
    return found == details.end() ? "" : found->second;
  }
};

TEST_F(ApiTest, ARepeatedRequestIdAnswersTheSameBackupAsItIsNow) {
  const auto with_id = [](pb::CreateBackupRequest& request) { request.set_request_id("job-4711"); };
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup first, Create("web-1", "nightly", with_id));
  AwaitState(first.id(), pb::Backup::RUNNING);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup again, Create("web-1", "nightly", with_id));
  EXPECT_EQ(again.id(), first.id());
  EXPECT_THAT(again, InState(pb::Backup::RUNNING));
  EXPECT_EQ(host("kvm-1").accepted(), 1);
  EXPECT_THAT(Scrub(first.id()), IsOk());
  AwaitState(first.id(), pb::Backup::CLOSED);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup closed, Create("web-1", "nightly", with_id));
  EXPECT_THAT(closed, InState(pb::Backup::CLOSED)) << "kept as long as the record";
}

TEST_F(ApiTest, ARequestIdWithAnotherPayloadIsRefused) {
  const auto with_id = [](pb::CreateBackupRequest& request) { request.set_request_id("job-4711"); };
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup first, Create("web-1", "nightly", with_id));
  const absl::Status refused = Create("web-1", "weekly", with_id).status();
  EXPECT_THAT(refused, HasReason("REQUEST_ID_REUSED"));
  EXPECT_EQ(DetailOf(refused, "backup_id"), first.id());
  EXPECT_THAT(Create("web-2", "nightly", with_id), HasReason("REQUEST_ID_REUSED"));
}

TEST_F(ApiTest, ASecondBackupByAnotherSpellingOfTheVmIsRefusedWithTheFirstOnesId) {
  host("kvm-1").FinishAtOnce(false);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup first, Create("web-1", "nightly"));
  for (const std::string& spelling : {std::string("web-1"), VmUuid("web-1")}) {
    const absl::Status refused = Create(spelling, "other").status();
    EXPECT_THAT(refused, AllOf(StatusIs(absl::StatusCode::kFailedPrecondition),
                               HasReason("UNFINISHED_BACKUP")));
    EXPECT_EQ(DetailOf(refused, "backup_id"), first.id());
    EXPECT_THAT(std::string(refused.message()), HasSubstr(first.id()));
  }
  EXPECT_THAT(Create("web-2", "nightly"), IsOk());
}

TEST_F(ApiTest, ANameIsUniqueAmongAVmsBackups) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup first, Create("web-1", "nightly"));
  AwaitState(first.id(), pb::Backup::RUNNING);
  EXPECT_THAT(Create("web-1", "nightly"),
              AllOf(StatusIs(absl::StatusCode::kAlreadyExists), HasReason("NAME_TAKEN")));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup other, Create("web-1", "weekly"));
  pb::UpdateBackupRequest rename;
  rename.set_id(other.id());
  rename.set_name("nightly");
  EXPECT_THAT(Update(rename), HasReason("NAME_TAKEN"));
  rename.set_name("monthly");
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup renamed, Update(rename));
  EXPECT_EQ(renamed.name(), "monthly");
  // Its own name is not taken.
  EXPECT_THAT(Update(rename), IsOk());
}

TEST_F(ApiTest, AnEtagThatIsOldRefusesTheUpdate) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup created, Create("web-1", "nightly"));
  const pb::Backup running = AwaitState(created.id(), pb::Backup::RUNNING);
  pb::UpdateBackupRequest update;
  update.set_id(running.id());
  (*update.mutable_labels())["tier"] = "gold";
  update.set_etag(created.etag());
  EXPECT_THAT(Update(update),
              AllOf(StatusIs(absl::StatusCode::kAborted), HasReason("ETAG_MISMATCH")));
  update.set_etag(running.etag());
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup labelled, Update(update));
  EXPECT_EQ(labelled.labels().at("tier"), "gold");
  EXPECT_NE(labelled.etag(), running.etag());
}

TEST_F(ApiTest, ValidateOnlyChecksAllAndStoresNothing) {
  const auto only = [](pb::CreateBackupRequest& request) { request.set_validate_only(true); };
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup would_be, Create("web-1", "nightly", only));
  EXPECT_THAT(would_be.id(), IsEmpty());
  EXPECT_THAT(would_be, InState(pb::Backup::REQUESTED));
  EXPECT_EQ(would_be.vm_uuid(), VmUuid("web-1"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto page, List({}));
  EXPECT_THAT(page.backups(), IsEmpty());
  EXPECT_THAT(Create("nobody", "nightly", only), HasReason("VM_NOT_FOUND"));
  host("kvm-1").FinishAtOnce(false);
  EXPECT_THAT(Create("web-1", "nightly"), IsOk());
  EXPECT_THAT(Create("web-1", "other", only), HasReason("UNFINISHED_BACKUP"));
}

TEST_F(ApiTest, AVmOnAnOverlayThatNobodyWillMergeGetsNoNewBackup) {
  controller::Overlay overlay;
  overlay.needs_attention = true;
  overlay.remedy = "run vmkeep-executor --merge web-1";
  host("kvm-1").SetOverlay(VmUuid("web-1"), overlay);
  AwaitTrue(
      [&] {
        return ErrorReason(Create("web-1", "x", [](auto& r) {
                             r.set_validate_only(true);
                           }).status()) == "VM_ON_OVERLAY";
      },
      "the overlay is known");
  EXPECT_THAT(Create("web-1", "nightly"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(overlay.remedy)));
  host("kvm-1").SetOverlay(VmUuid("web-1"), std::nullopt);
  AwaitTrue([&] { return Create("web-1", "nightly").ok(); }, "merged");
}

TEST_F(ApiTest, AllThatIsWrongIsInOneAnswer) {
  pb::CreateBackupRequest request;
  request.set_repository(9);
  const absl::Status refused = Create(request).status();
  EXPECT_THAT(refused,
              AllOf(StatusIs(absl::StatusCode::kInvalidArgument), HasReason("INVALID_ARGUMENT")));
  for (const char* field : {"vm_id", "name", "repository"}) {
    EXPECT_THAT(std::string(refused.message()), HasSubstr(field));
  }
  EXPECT_TRUE(refused.GetPayload("type.googleapis.com/google.rpc.BadRequest").has_value());
}

TEST_F(ApiTest, WhatIsNotThereIsNotFound) {
  constexpr char kNobody[] = "01890a5d-ac96-774b-bcce-b302099a8057";
  EXPECT_THAT(Get(kNobody),
              AllOf(StatusIs(absl::StatusCode::kNotFound), HasReason("BACKUP_NOT_FOUND")));
  EXPECT_THAT(Scrub(kNobody), HasReason("BACKUP_NOT_FOUND"));
  EXPECT_THAT(Get("../../etc/passwd"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Create("nobody", "nightly"),
              AllOf(StatusIs(absl::StatusCode::kNotFound), HasReason("VM_NOT_FOUND")));
}

TEST_F(ApiTest, PagesHaveEveryBackupOnceAndTokensBelongToTheirQuery) {
  std::set<std::string> made;
  for (int i = 0; i < 25; ++i) {
    VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup backup, Create("web-1", absl::StrCat("n", i)));
    made.insert(backup.id());
    AwaitState(backup.id(), pb::Backup::RUNNING);
  }
  for (const char* order : {"", "create_time"}) {
    pb::ListBackupsRequest request;
    request.set_page_size(10);
    request.set_order_by(order);
    std::set<std::string> seen;
    std::vector<int> sizes;
    do {
      VMKEEP_ASSERT_OK_AND_ASSIGN(const auto page, List(request));
      sizes.push_back(page.backups_size());
      for (const auto& backup : page.backups())
        EXPECT_TRUE(seen.insert(backup.id()).second) << "twice";
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty() && sizes.size() < 9);
    EXPECT_THAT(sizes, ::testing::ElementsAre(10, 10, 5));
    EXPECT_EQ(seen, made);
  }
  pb::ListBackupsRequest request;
  request.set_page_size(10);
  const std::string token = List(request)->next_page_token();
  request.set_page_token(token);
  request.set_page_size(3);  // may change from page to page
  EXPECT_THAT(List(request), IsOk());
  request.mutable_filter()->add_states(pb::Backup::RUNNING);
  EXPECT_THAT(List(request), HasReason("BAD_PAGE_TOKEN"));
  request.clear_filter();
  request.set_order_by("create_time");
  EXPECT_THAT(List(request), HasReason("BAD_PAGE_TOKEN"));
  request.set_page_token("garbage");
  EXPECT_THAT(List(request),
              AllOf(StatusIs(absl::StatusCode::kInvalidArgument), HasReason("BAD_PAGE_TOKEN")));
}

TEST_F(ApiTest, ListHidesClosedOnesUnlessAsked) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup backup, Create("web-1", "nightly"));
  AwaitState(backup.id(), pb::Backup::RUNNING);
  EXPECT_THAT(Scrub(backup.id()), IsOk());
  AwaitState(backup.id(), pb::Backup::CLOSED);
  pb::ListBackupsRequest request;
  EXPECT_THAT(List(request)->backups(), SizeIs(0));
  request.mutable_filter()->set_show_closed(true);
  EXPECT_THAT(List(request)->backups(), SizeIs(1));
  request.mutable_filter()->set_show_closed(false);
  request.mutable_filter()->add_states(pb::Backup::CLOSED);
  EXPECT_THAT(List(request)->backups(), SizeIs(1));
}

// A channel inside the process has neither a socket nor a certificate: its caller is nobody. Every
// method of the API is called, so a handler that forgets to ask is found here.
TEST_F(ApiTest, EveryMethodRefusesACallerWithoutAnIdentity) {
  grpc::ChannelArguments arguments;
  const auto nobody = app_->server().InProcessChannel(arguments);
  grpc::GenericStub stub(nobody);
  int methods = 0;
  for (const auto* file : {pb::CreateBackupRequest::descriptor()->file(),
                           pb::RegisterHostRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const auto* method = file->service(s)->method(m);
        const std::string name =
            absl::StrCat("/", method->service()->full_name(), "/", method->name());
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
        grpc::CompletionQueue queue;
        const grpc::Slice empty;
        const grpc::ByteBuffer request(&empty, 1);
        grpc::ByteBuffer response;
        grpc::Status status;
        const auto reader = stub.PrepareUnaryCall(&context, name, request, &queue);
        reader->StartCall();
        reader->Finish(&response, &status, nullptr);
        void* tag = nullptr;
        bool ok = false;
        ASSERT_TRUE(queue.Next(&tag, &ok));
        EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED)
            << name << ": " << status.error_message();
        ++methods;
      }
    }
  }
  EXPECT_EQ(methods, 16);
}

TEST_F(ApiTest, AMessageOverTheLimitIsRefusedAndHurtsNobody) {
  pb::CreateBackupRequest request;
  request.set_vm_id("web-1");
  request.set_name(std::string(5 << 20, 'x'));
  EXPECT_THAT(Create(request), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(Create("web-1", "nightly"), IsOk());
}

TEST_F(ApiTest, HealthSaysServing) {
  using Request = grpc::health::v1::HealthCheckRequest;
  using Response = grpc::health::v1::HealthCheckResponse;
  grpc::TemplatedGenericStub<Request, Response> health(channel_);
  const Request request;
  VMKEEP_ASSERT_OK_AND_ASSIGN(
      const Response answer, Do<Response>([&](auto* context, auto* response) {
        std::promise<grpc::Status> answered;
        health.UnaryCall(context, "/grpc.health.v1.Health/Check", {}, &request, response,
                         [&](grpc::Status status) { answered.set_value(std::move(status)); });
        return answered.get_future().get();
      }));
  EXPECT_EQ(answer.status(), Response::SERVING);
}

}  // namespace
}  // namespace vmkeep::test
