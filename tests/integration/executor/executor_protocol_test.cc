#include "common/error.h"
#include "common/grpc_status.h"
#include "common/uuid.h"
#include "common/version.h"
#include "tests/integration/executor/executor_process.h"
#include "tests/support/status_matchers.h"

#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace vmkeep::test {
namespace {

using ::testing::HasSubstr;

std::string ReasonOf(const grpc::Status& status) { return ErrorReason(FromGrpcStatus(status)); }

class ExecutorProtocolTest : public ::testing::Test {
 protected:
  ExecutorProtocolTest() { executor_.Start(); }

  exec::HelloResponse Hello() {
    grpc::ClientContext context;
    exec::HelloRequest request;
    request.set_protocol_min(1);
    request.set_protocol_max(7);
    exec::HelloResponse response;
    const grpc::Status status = executor_.stub().Hello(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  grpc::Status Ack(int64_t sequence) {
    grpc::ClientContext context;
    exec::AckEventsRequest request;
    request.set_sequence(sequence);
    exec::AckEventsResponse response;
    return executor_.stub().AckEvents(&context, request, &response);
  }
  exec::ListTasksResponse ListTasks() {
    grpc::ClientContext context;
    exec::ListTasksResponse response;
    EXPECT_TRUE(executor_.stub().ListTasks(&context, {}, &response).ok());
    return response;
  }
  exec::StartTaskRequest DoneBackup() {
    const exec::StartTaskRequest request = executor_.NewBackup("db-1");
    EXPECT_TRUE(executor_.StartTask(request).ok());
    EXPECT_EQ(executor_.ReadEnd(request.task()).outcome(), exec::TaskEnded::DONE);
    return request;
  }

  ExecutorProcess executor_;
};

TEST_F(ExecutorProtocolTest, HelloSaysWhoIsThere) {
  const exec::HelloResponse hello = Hello();
  EXPECT_TRUE(IsUuid(hello.executor_id()));
  EXPECT_EQ(hello.hypervisor(), "sim");
  EXPECT_TRUE(hello.simulated());
  EXPECT_EQ(hello.protocol(), 1);
  EXPECT_FALSE(hello.hostname().empty() || hello.version().empty() || hello.boot_id().empty());
  executor_.Kill();
  executor_.Start();
  EXPECT_EQ(Hello().executor_id(), hello.executor_id()) << "the same for ever";
}

TEST_F(ExecutorProtocolTest, NoCommonProtocolIsRefusedInWords) {
  struct Case {
    int min;
    int max;
    const char* words;
  };
  for (const Case& c : {Case{2, 3, "the controller 2 to 3: upgrade the executor"},
                        Case{0, 0, "the controller 0: upgrade the controller"},
                        Case{5, 1, "the controller 5 to 1"}}) {
    grpc::ClientContext context;
    exec::HelloRequest request;
    request.set_protocol_min(c.min);
    request.set_protocol_max(c.max);
    exec::HelloResponse response;
    const grpc::Status refused = executor_.stub().Hello(&context, request, &response);
    EXPECT_EQ(refused.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_EQ(ReasonOf(refused), "PROTOCOL_MISMATCH");
    EXPECT_THAT(refused.error_message(), HasSubstr(std::string("vmkeep-executor ") + kVersion +
                                                   " speaks protocol 1, " + c.words));
    EXPECT_EQ(ErrorDetails(FromGrpcStatus(refused))["protocol_max"], "1");
    EXPECT_EQ(response.executor_id(), "");
  }
}

TEST_F(ExecutorProtocolTest, SecondStartOfATaskSaysKnownWheneverItComes) {
  executor_.SetGate("disk-vda");
  const exec::StartTaskRequest request = executor_.NewBackup();
  exec::StartTaskResponse response;
  ASSERT_TRUE(executor_.StartTask(request, &response).ok());
  EXPECT_FALSE(response.already_known());
  ASSERT_TRUE(executor_.StartTask(request, &response).ok());
  EXPECT_TRUE(response.already_known()) << "while it runs";
  executor_.SetGate("");
  executor_.ReadToEnd(request.task());
  ASSERT_TRUE(executor_.StartTask(request, &response).ok());
  EXPECT_TRUE(response.already_known()) << "ended";
  ASSERT_TRUE(Ack(Hello().last_sequence()).ok());
  ASSERT_TRUE(executor_.StartTask(request, &response).ok());
  EXPECT_TRUE(response.already_known()) << "forgotten";
}

TEST_F(ExecutorProtocolTest, StaleEpochIsRefusedAlsoAfterARestart) {
  exec::StartTaskRequest request = DoneBackup();
  executor_.Kill();
  executor_.Start();
  request.mutable_task()->set_task_id(executor_.NewBackup().task().task_id());
  const grpc::Status status = executor_.StartTask(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(ReasonOf(status), "STALE_EPOCH");
}

// As from a controller whose messages were stuck in the network. Red when the journal does not
// compare the epoch.
TEST_F(ExecutorProtocolTest, AnOldTryNeitherStartsNorStopsTheNewOne) {
  executor_.SetGate("disk-vda");
  exec::StartTaskRequest request = executor_.NewBackup();
  request.mutable_task()->set_epoch(2);
  ASSERT_TRUE(executor_.StartTask(request).ok());
  exec::StartTaskRequest old = request;
  old.mutable_task()->set_task_id(executor_.NewBackup().task().task_id());
  for (const int epoch : {1, 2}) {  // older; and the same one, claimed by another task
    old.mutable_task()->set_epoch(epoch);
    EXPECT_EQ(ReasonOf(executor_.StartTask(old)), "STALE_EPOCH") << "epoch " << epoch;
    bool known = true;
    EXPECT_TRUE(executor_.Cancel(old.task(), &known).ok());
    EXPECT_FALSE(known);
  }
  ASSERT_EQ(ListTasks().tasks_size(), 1);
  EXPECT_EQ(ListTasks().tasks(0).task().task_id(), request.task().task_id());
  executor_.SetGate("");
  EXPECT_EQ(executor_.ReadEnd(request.task()).outcome(), exec::TaskEnded::DONE);
  // Nobody holds the VM now, and this try was never cancelled: its epoch alone keeps it out.
  old.mutable_task()->set_task_id(executor_.NewBackup().task().task_id());
  old.mutable_task()->set_epoch(1);
  EXPECT_EQ(ReasonOf(executor_.StartTask(old)), "STALE_EPOCH");
}

TEST_F(ExecutorProtocolTest, CancelOfAnUnknownTaskKeepsItOut) {
  const exec::StartTaskRequest request = executor_.NewBackup();
  bool known = true;
  ASSERT_TRUE(executor_.Cancel(request.task(), &known).ok());
  EXPECT_FALSE(known);
  EXPECT_EQ(ReasonOf(executor_.StartTask(request)), "STALE_EPOCH");
}

TEST_F(ExecutorProtocolTest, StreamResumesAfterASequenceAndAcknowledgedEventsAreGone) {
  const exec::StartTaskRequest request = DoneBackup();
  const int64_t last = Hello().last_sequence();
  ASSERT_GE(last, 8);
  const auto rest = executor_.ReadToEnd(request.task(), last - 2);
  ASSERT_EQ(rest.size(), 2u);
  EXPECT_EQ(rest[0].sequence(), last - 1);
  EXPECT_EQ(ListTasks().tasks_size(), 1);
  EXPECT_EQ(ListTasks().as_of_sequence(), last);
  ASSERT_TRUE(Ack(last).ok());
  EXPECT_EQ(ListTasks().tasks_size(), 0);
  EXPECT_EQ(Hello().last_sequence(), last) << "numbers do not start again";
  const exec::StartTaskRequest next = executor_.NewBackup("db-1");
  ASSERT_TRUE(executor_.StartTask(next).ok());
  for (const exec::Event& event : executor_.ReadToEnd(next.task())) {
    EXPECT_TRUE(event.sequence() == 0 || event.sequence() > last);
    EXPECT_EQ(event.task().task_id(), event.has_inventory() ? "" : next.task().task_id());
  }
}

TEST_F(ExecutorProtocolTest, EventsSurviveARestart) {
  const exec::StartTaskRequest request = DoneBackup();
  executor_.Kill();
  executor_.Start();
  EXPECT_EQ(executor_.ReadEnd(request.task()).outcome(), exec::TaskEnded::DONE);
}

TEST_F(ExecutorProtocolTest, SequenceOfTheFutureIsRefused) {
  grpc::ClientContext context;
  exec::StreamEventsRequest request;
  request.set_after_sequence(1'000'000);
  auto reader = executor_.stub().StreamEvents(&context, request);
  exec::StreamEventsResponse batch;
  EXPECT_FALSE(reader->Read(&batch));
  EXPECT_EQ(ReasonOf(reader->Finish()), "SEQUENCE_UNKNOWN");
  EXPECT_EQ(ReasonOf(Ack(1'000'000)), "SEQUENCE_UNKNOWN");
}

TEST_F(ExecutorProtocolTest, IdleStreamShowsSignsOfLife) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(40));
  auto reader = executor_.stub().StreamEvents(&context, {});
  exec::StreamEventsResponse batch;
  int empty = 0;
  // The first at once; whatever the probes tell comes between.
  const auto begun = std::chrono::steady_clock::now();
  while (empty < 2 && reader->Read(&batch)) empty += batch.events().empty() ? 1 : 0;
  EXPECT_EQ(empty, 2);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(20));
  context.TryCancel();
  (void)reader->Finish();
}

TEST_F(ExecutorProtocolTest, StopIsQuickAndTellsTheReaders) {
  grpc::ClientContext context;
  auto reader = executor_.stub().StreamEvents(&context, {});
  exec::StreamEventsResponse batch;
  ASSERT_TRUE(reader->Read(&batch));
  // The server waits a little longer for a connection that nobody polls, and a channel of the
  // synchronous API is polled only by its calls: so one that reads the stream to its end, and then
  // waits for the connection's.
  std::string reason;
  std::thread reading([&] {
    while (reader->Read(&batch)) {
    }
    reason = ReasonOf(reader->Finish());
    executor_.channel().WaitForStateChange(
        GRPC_CHANNEL_READY, std::chrono::system_clock::now() + std::chrono::seconds(10));
  });
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_TRUE(executor_.Stop().ok());
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(2));
  reading.join();
  EXPECT_EQ(reason, "EXECUTOR_STOPPED");
}

TEST_F(ExecutorProtocolTest, GarbageIsRefusedFieldByFieldAndHarmsNobody) {
  exec::StartTaskRequest request;
  EXPECT_EQ(ReasonOf(executor_.StartTask(request)), "INVALID_ARGUMENT");
  for (const std::string& bad : {std::string(), std::string("../../etc"), std::string(100'000, 'a'),
                                 std::string("0190A5B0-0000-7000-8000-000000000001")}) {
    request = executor_.NewBackup();
    request.mutable_task()->set_task_id(bad);
    request.mutable_backup()->set_backup_id(bad);
    request.mutable_backup()->set_vm_uuid(bad);
    request.mutable_backup()->set_repository_id(bad);
    request.mutable_backup()->set_repository(-1);
    const grpc::Status status = executor_.StartTask(request);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    for (const char* field : {"task.task_id", "backup.backup_id", "backup.vm_uuid",
                              "backup.repository_id", "backup.repository"}) {
      EXPECT_THAT(status.error_message(), HasSubstr(field));
    }
    EXPECT_FALSE(executor_.Cancel(request.task()).ok());
  }
  request = executor_.NewBackup();
  request.mutable_task()->set_epoch(0);
  EXPECT_EQ(ReasonOf(executor_.StartTask(request)), "INVALID_ARGUMENT");
  EXPECT_EQ(ReasonOf(Ack(-1)), "SEQUENCE_UNKNOWN");
  grpc::ClientContext context;
  exec::InitRepositoryRequest init;
  init.set_slot(3);
  exec::InitRepositoryResponse initialised;
  EXPECT_EQ(ReasonOf(executor_.stub().InitRepository(&context, init, &initialised)),
            "INVALID_ARGUMENT");
  EXPECT_EQ(ListTasks().tasks_size(), 0);
  DoneBackup();
}

TEST_F(ExecutorProtocolTest, SecondExecutorOnTheSameStateIsRefused) {
  const process::RunResult second = executor_.StartSecond();
  EXPECT_EQ(second.exit_status.code, 1);
  EXPECT_THAT(second.err, HasSubstr("another vmkeep-executor"));
}

TEST_F(ExecutorProtocolTest, InventoryIsPagedAndShowsRepositories) {
  std::vector<std::string> names;
  exec::GetInventoryRequest request;
  request.set_page_size(1);
  int pages = 0;
  do {
    grpc::ClientContext context;
    exec::GetInventoryResponse response;
    ASSERT_TRUE(executor_.stub().GetInventory(&context, request, &response).ok());
    for (const auto& vm : response.inventory().vms()) names.push_back(vm.name());
    EXPECT_EQ(response.inventory().repositories_size(), pages == 0 ? 2 : 0);
    request.set_page_token(response.next_page_token());
    ++pages;
  } while (!request.page_token().empty() && pages < 9);
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("web-1", "db-1"));
  const exec::Inventory inventory = executor_.Inventory();
  EXPECT_EQ(inventory.repositories(0).slot(), 1);
  EXPECT_EQ(inventory.repositories(0).health(), ::vmkeep::v1::Repository::HEALTHY);
  EXPECT_GT(inventory.repositories(0).free_bytes(), 0);
}

}  // namespace
}  // namespace vmkeep::test
