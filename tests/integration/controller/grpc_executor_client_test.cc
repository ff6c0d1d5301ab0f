#include "controller/dispatch/grpc_executor_client.h"

#include "common/error.h"
#include "common/grpc_status.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "vmkeep/executor/v1/executor_service.grpc.pb.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace vmkeep::controller {
namespace {

namespace exec = ::vmkeep::executor::v1;
using test::HasReason;
using test::IsOk;
using test::IsOkAndHolds;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

template <typename T>
T FromText(const std::string& text) {
  T message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

// An executor that answers what the test wrote down.
class ScriptedExecutor final : public exec::ExecutorService::Service {
 public:
  grpc::Status Hello(grpc::ServerContext*, const exec::HelloRequest* request,
                     exec::HelloResponse* response) override {
    controller_id = request->controller_id();
    *response = hello;
    return status;
  }
  grpc::Status StartTask(grpc::ServerContext*, const exec::StartTaskRequest* request,
                         exec::StartTaskResponse* response) override {
    started = *request;
    response->set_already_known(true);
    return status;
  }
  grpc::Status GetInventory(grpc::ServerContext*, const exec::GetInventoryRequest* request,
                            exec::GetInventoryResponse* response) override {
    ++pages;
    auto* vm = response->mutable_inventory()->add_vms();
    vm->set_uuid(absl::StrCat("ABCDEF0", pages));
    if (request->page_token() != "2" || endless) {
      response->set_next_page_token(request->page_token() == "1" ? "2" : "1");
    }
    return status;
  }
  grpc::Status StreamEvents(grpc::ServerContext* context, const exec::StreamEventsRequest* request,
                            grpc::ServerWriter<exec::StreamEventsResponse>* writer) override {
    after = request->after_sequence();
    writer->Write(batch);
    writer->Write({});
    while (!context->IsCancelled() && !end_stream) std::this_thread::yield();
    return status;
  }
  grpc::Status ListTasks(grpc::ServerContext* context, const exec::ListTasksRequest*,
                         exec::ListTasksResponse*) override {
    hangs.set_value();
    while (!context->IsCancelled()) std::this_thread::yield();
    return grpc::Status::CANCELLED;
  }

  std::string controller_id;
  exec::HelloResponse hello;
  exec::StartTaskRequest started;
  exec::StreamEventsResponse batch;
  grpc::Status status;
  int pages = 0;
  bool endless = false;
  std::atomic<bool> end_stream = false;
  int64_t after = -1;
  std::promise<void> hangs;
};

class GrpcExecutorClientTest : public ::testing::Test {
 protected:
  GrpcExecutorClientTest() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
    builder.RegisterService(&executor_);
    server_ = builder.BuildAndStart();
    client_ = *GrpcExecutorClientFactory({})(address_);
  }

  // The answer of a call.
  template <typename T, typename Call>
  absl::StatusOr<T> Answer(Call call) {
    std::promise<absl::StatusOr<T>> answer;
    call([&](absl::StatusOr<T> got) { answer.set_value(std::move(got)); });
    return answer.get_future().get();
  }

  test::TempDir dir_;
  const std::string address_ = "unix:" + dir_.path("e.sock");
  ScriptedExecutor executor_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<ExecutorClient> client_;
};

TEST_F(GrpcExecutorClientTest, HelloSaysWhoIsThere) {
  executor_.hello = FromText<exec::HelloResponse>(
      R"(executor_id: "e" hostname: "h" hypervisor: "sim" simulated: true version: "1" last_sequence: 7 protocol: 4)");
  const auto hello = Answer<ExecutorClient::Hello>(
      [&](auto done) { client_->SayHello("controller-1", std::move(done)); });
  ASSERT_THAT(hello, IsOk());
  EXPECT_EQ(hello->host.executor_id, "e");
  EXPECT_EQ(hello->last_sequence, 7);
  EXPECT_EQ(hello->protocol, 4);
  EXPECT_TRUE(hello->host.simulated);
  EXPECT_EQ(executor_.controller_id, "controller-1");
}

TEST_F(GrpcExecutorClientTest, AnExecutorWithoutAnIdIsNone) {
  EXPECT_THAT(
      Answer<ExecutorClient::Hello>([&](auto done) { client_->SayHello("c", std::move(done)); }),
      HasReason("BAD_ANSWER"));
}

TEST_F(GrpcExecutorClientTest, ErrorsKeepTheExecutorsReason) {
  executor_.status =
      ToGrpcStatus(MakeError(absl::StatusCode::kFailedPrecondition, "VM_BUSY", "another task"));
  EXPECT_THAT(Answer<bool>([&](auto done) { client_->StartTask({}, std::move(done)); }),
              AllOf(StatusIs(absl::StatusCode::kFailedPrecondition), HasReason("VM_BUSY")));
}

TEST_F(GrpcExecutorClientTest, AnAbsentExecutorIsUnavailable) {
  server_->Shutdown();
  EXPECT_THAT(Answer<bool>([&](auto done) { client_->StartTask({}, std::move(done)); }),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(GrpcExecutorClientTest, ABackupTaskHasAllThatTheManifestNeeds) {
  BackupRecord record;
  record.id = "b";
  record.vm_uuid = "u";
  record.vm_id = "web";
  record.name = "nightly";
  record.repository = 2;
  record.repository_id = "r";
  record.quiesce = Quiesce::kRequired;
  record.labels = {{"tier", "gold"}};
  record.project = "local";
  record.host_id = "kvm-1";
  record.create_time = absl::FromUnixSeconds(1'750'000'000);
  record.task_id = "t";
  record.epoch = 3;
  EXPECT_THAT(Answer<bool>([&](auto done) { client_->StartTask(record, std::move(done)); }),
              IsOkAndHolds(true));
  EXPECT_EQ(executor_.started.task().epoch(), 3);
  ASSERT_TRUE(executor_.started.has_backup());
  const exec::BackupSpec& spec = executor_.started.backup();
  EXPECT_EQ(spec.repository(), 2);
  EXPECT_EQ(spec.quiesce(), ::vmkeep::v1::Backup::REQUIRED);
  EXPECT_EQ(spec.labels().at("tier"), "gold");
  EXPECT_EQ(spec.host_id(), "kvm-1");
  EXPECT_EQ(spec.request_time().seconds(), 1'750'000'000);
  record.task_is_scrub = true;
  EXPECT_THAT(Answer<bool>([&](auto done) { client_->StartTask(record, std::move(done)); }),
              IsOk());
  ASSERT_TRUE(executor_.started.has_scrub());
  EXPECT_EQ(executor_.started.scrub().repository_id(), "r");
}

TEST_F(GrpcExecutorClientTest, InventoryIsReadPageByPage) {
  const auto inventory =
      Answer<HostInventory>([&](auto done) { client_->GetInventory(std::move(done)); });
  ASSERT_THAT(inventory, IsOk());
  ASSERT_THAT(inventory->vms, SizeIs(3));
  EXPECT_EQ(inventory->vms[0].uuid, "abcdef01") << "lower case";
}

TEST_F(GrpcExecutorClientTest, PagesThatDoNotEndAreGivenUp) {
  executor_.endless = true;
  EXPECT_THAT(Answer<HostInventory>([&](auto done) { client_->GetInventory(std::move(done)); }),
              HasReason("BAD_ANSWER"));
}

TEST_F(GrpcExecutorClientTest, EventsComeAsValuesAndWhatIsUnknownIsHarmless) {
  executor_.batch = FromText<exec::StreamEventsResponse>(R"(
      events { sequence: 4 time { seconds: 9 } task { task_id: "t" epoch: 2 } backup_id: "b"
        ended { outcome: DONE backup { time_valid { seconds: 5 } consistency: FILESYSTEM stored_bytes: -1
                excluded_disks { target: "sda" reason: "CDROM" } } snapshot_taken: true } }
      events { progress { phase: COPYING bytes_done: 12 } }
      events { sequence: 5 step { step: "snapshot" time_valid { seconds: 5 } } }
      events { inventory {} }
      events { sequence: 6 })");
  executor_.batch.mutable_events(0)->mutable_ended()->mutable_backup()->set_consistency(
      static_cast<::vmkeep::v1::Backup::Consistency>(77));
  std::promise<std::vector<ExecutorEvent>> first;
  std::promise<void> sign_of_life;
  std::promise<absl::Status> ended;
  int batches = 0;
  client_->StreamEvents(
      3,
      [&](std::vector<ExecutorEvent> events) {
        if (++batches == 1) first.set_value(std::move(events));
        if (batches == 2) sign_of_life.set_value();
      },
      [&](absl::Status status) { ended.set_value(std::move(status)); });
  const std::vector<ExecutorEvent> events = first.get_future().get();
  sign_of_life.get_future().wait();
  EXPECT_EQ(executor_.after, 3);
  ASSERT_THAT(events, SizeIs(5));
  const auto& end = std::get<TaskEnded>(events[0].body);
  EXPECT_EQ(end.outcome, Outcome::kDone);
  EXPECT_EQ(end.backup->consistency, Consistency::kUnknown);
  EXPECT_EQ(end.backup->stored_bytes, 0);
  EXPECT_THAT(end.backup->excluded_disks, SizeIs(1));
  EXPECT_EQ(events[0].task, (TaskRef{"t", 2}));
  EXPECT_EQ(std::get<TaskProgress>(events[1].body).progress.bytes_done, 12);
  EXPECT_EQ(std::get<StepDone>(events[2].body).step, "snapshot");
  EXPECT_TRUE(std::holds_alternative<InventoryChanged>(events[3].body));
  EXPECT_EQ(std::get<StepDone>(events[4].body).step, "");
  executor_.end_stream = true;
  EXPECT_THAT(ended.get_future().get(), IsOk());
}

// Red when the destructor does not cancel: the executor would hold both calls for good.
TEST_F(GrpcExecutorClientTest, DestroyingTheClientEndsItsCallsAndEachStillAnswers) {
  std::promise<absl::Status> listed;
  std::promise<absl::Status> ended;
  client_->ListTasks([&](const absl::StatusOr<std::vector<KnownTask>>& tasks) {
    listed.set_value(tasks.status());
  });
  client_->StreamEvents(
      0, [](const std::vector<ExecutorEvent>&) {},
      [&](absl::Status status) { ended.set_value(std::move(status)); });
  executor_.hangs.get_future().wait();
  client_.reset();
  EXPECT_THAT(listed.get_future().get(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(ended.get_future().get(), StatusIs(absl::StatusCode::kCancelled));
}

TEST(GrpcExecutorClientFactoryTest, AnUnsafeAddressIsNotDialled) {
  EXPECT_THAT(GrpcExecutorClientFactory({})("10.0.0.1:7000").status(),
              HasReason("INSECURE_LISTENER"));
  EXPECT_THAT(GrpcExecutorClientFactory({})("nonsense").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nonsense")));
}

}  // namespace
}  // namespace vmkeep::controller
