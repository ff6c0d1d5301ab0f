#include "controller/dispatch/fault_executor_client.h"

#include "common/fault_point/fault_point.h"
#include "common/status_macros.h"

#include <string>
#include <utility>
#include <vector>

namespace vmkeep::controller {
namespace {

// The answer, unless the point behind the call fails.
ExecutorClient::Callback<bool> Then(const char* point, ExecutorClient::Callback<bool> done) {
  return [point, done = std::move(done)](absl::StatusOr<bool> answer) {
    if (answer.ok()) {
      if (absl::Status fault = FaultPoint(point); !fault.ok()) answer = std::move(fault);
    }
    done(std::move(answer));
  };
}

class FaultExecutorClient final : public ExecutorClient {
 public:
  explicit FaultExecutorClient(std::shared_ptr<ExecutorClient> client)
      : client_(std::move(client)) {}

  void SayHello(const std::string& controller_id, Callback<Hello> done) override {
    client_->SayHello(controller_id, std::move(done));
  }
  void StartTask(const BackupRecord& record, Callback<bool> done) override {
    if (absl::Status fault = FaultPoint("dispatch.start.before"); !fault.ok()) return done(fault);
    client_->StartTask(record, Then("dispatch.start.after", std::move(done)));
  }
  void CancelTask(const TaskRef& task, Callback<bool> done) override {
    if (absl::Status fault = FaultPoint("dispatch.cancel.before"); !fault.ok()) return done(fault);
    client_->CancelTask(task, Then("dispatch.cancel.after", std::move(done)));
  }
  void ListTasks(Callback<std::vector<KnownTask>> done) override {
    client_->ListTasks(std::move(done));
  }
  void GetInventory(Callback<HostInventory> done) override {
    client_->GetInventory(std::move(done));
  }
  void InitRepository(int slot, bool allow_plain_directory,
                      Callback<RepositoryRecord> done) override {
    client_->InitRepository(slot, allow_plain_directory, std::move(done));
  }
  void AckEvents(int64_t sequence, Callback<bool> done) override {
    if (absl::Status fault = FaultPoint("dispatch.ack.before"); !fault.ok()) return done(fault);
    client_->AckEvents(sequence, Then("dispatch.ack.after", std::move(done)));
  }
  void StreamEvents(int64_t after_sequence, std::function<void(std::vector<ExecutorEvent>)> batch,
                    std::function<void(absl::Status)> ended) override {
    client_->StreamEvents(after_sequence, std::move(batch), std::move(ended));
  }

 private:
  const std::shared_ptr<ExecutorClient> client_;
};

}  // namespace

ExecutorClientFactory WithFaultPoints(ExecutorClientFactory dial) {
  if constexpr (!kFaultPoints) return dial;
  return [dial = std::move(dial)](
             const std::string& address) -> absl::StatusOr<std::shared_ptr<ExecutorClient>> {
    VMKEEP_ASSIGN_OR_RETURN(std::shared_ptr<ExecutorClient> client, dial(address));
    return std::make_shared<FaultExecutorClient>(std::move(client));
  };
}

}  // namespace vmkeep::controller
