#ifndef VMKEEP_TESTS_FAKES_FAKE_EXECUTOR_CLIENT_H_
#define VMKEEP_TESTS_FAKES_FAKE_EXECUTOR_CLIENT_H_

#include "common/mutex.h"
#include "common/version.h"
#include "controller/dispatch/executor_client.h"

#include "absl/status/status.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vmkeep::test {

// A host that a test scripts: accepts tasks durably, fences by epoch, keeps events until they are
// acknowledged, loses calls and connections when told to. Thread-safe; clients hold it.
class FakeExecutor : public std::enable_shared_from_this<FakeExecutor> {
 public:
  struct Task {
    controller::BackupRecord record;  // as StartTask brought it
    bool cancelled = false;
    bool ended = false;
    controller::TaskRef ref() const { return {record.task_id, record.epoch}; }
  };

  explicit FakeExecutor(std::string executor_id) : executor_id_(std::move(executor_id)) {}

  // What the host has. Changes are reported as the real one does.
  void AddVm(const std::string& uuid, const std::string& name,
             controller::PowerState power = controller::PowerState::kOn);
  void SetPower(const std::string& uuid, controller::PowerState power);
  void SetOverlay(const std::string& uuid, const std::optional<controller::Overlay>& overlay);
  void SetRepository(int slot, controller::Health health, const std::string& id = "");
  // What GetInventory answers instead, or OK for what the host has.
  void FailInventory(absl::Status status);

  // Tasks end by themselves at once, as DONE; else when the test says so.
  void FinishAtOnce(bool yes);
  // Ends the backup's unfinished task. False when there is none.
  bool Finish(const controller::BackupId& backup, controller::TaskEnded ended);
  bool Finish(const controller::BackupId& backup);  // DONE, or CANCELLED when that was asked for
  void ReportProgress(const controller::BackupId& backup, int64_t bytes_done);

  // Unreachable: calls fail, the stream breaks. What was accepted goes on.
  void SetReachable(bool reachable);
  // The stream stands and nothing comes.
  void SetSilent(bool silent);
  void BreakStream();
  void SetExecutorId(const std::string& id);
  // What its next Hello answers.
  void SetProtocol(int protocol);
  // Acknowledgements do not get through meanwhile.
  void LoseAcks(bool yes);
  // The next `count` StartTask calls: not accepted, and answered with `status`.
  void RefuseStarts(int count, absl::Status status);
  // The next `count` StartTask calls: accepted, and the answer is lost.
  void LoseStartAnswers(int count);

  // What happened.
  std::vector<Task> tasks() const;
  int accepted() const;      // tasks that were new
  int most_at_once() const;  // unfinished at the same time
  int64_t acknowledged() const;
  int connections() const;

 private:
  friend class FakeExecutorClient;
  struct Stream {
    int64_t number = 0;
    std::function<void(std::vector<controller::ExecutorEvent>)> batch;
    std::function<void(absl::Status)> ended;
  };

  absl::Status Check() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<bool> Start(const controller::BackupRecord& record) ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<bool> Cancel(const controller::TaskRef& ref) ABSL_LOCKS_EXCLUDED(mu_);
  controller::RepositoryRecord Init(int slot) ABSL_LOCKS_EXCLUDED(mu_);
  int64_t OpenStream(int64_t after, Stream stream) ABSL_LOCKS_EXCLUDED(mu_);
  void CloseStream(int64_t number) ABSL_LOCKS_EXCLUDED(mu_);
  controller::TaskEnded EndOf(const Task& task) const;
  void Emit(controller::ExecutorEvent event) ABSL_LOCKS_EXCLUDED(mu_);
  void InventoryMoved();
  int Unfinished() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;
  std::string executor_id_ ABSL_GUARDED_BY(mu_);
  controller::HostInventory inventory_ ABSL_GUARDED_BY(mu_);
  int protocol_ ABSL_GUARDED_BY(mu_) = kProtocolMax;
  absl::Status inventory_status_ ABSL_GUARDED_BY(mu_);
  bool reachable_ ABSL_GUARDED_BY(mu_) = true;
  bool silent_ ABSL_GUARDED_BY(mu_) = false;
  bool lose_acks_ ABSL_GUARDED_BY(mu_) = false;
  bool finish_at_once_ ABSL_GUARDED_BY(mu_) = true;
  int refuse_starts_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status refusal_ ABSL_GUARDED_BY(mu_);
  int lose_answers_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<Task> tasks_ ABSL_GUARDED_BY(mu_);
  std::map<controller::BackupId, int64_t> highest_epoch_ ABSL_GUARDED_BY(mu_);
  std::map<controller::BackupId, int64_t> fenced_ ABSL_GUARDED_BY(mu_);
  std::vector<controller::ExecutorEvent> events_ ABSL_GUARDED_BY(mu_);
  int64_t sequence_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t acknowledged_ ABSL_GUARDED_BY(mu_) = 0;
  std::optional<Stream> stream_ ABSL_GUARDED_BY(mu_);
  int64_t next_stream_ ABSL_GUARDED_BY(mu_) = 0;
  int most_at_once_ ABSL_GUARDED_BY(mu_) = 0;
  int connections_ ABSL_GUARDED_BY(mu_) = 0;
};

// One connection to it.
class FakeExecutorClient final : public controller::ExecutorClient {
 public:
  explicit FakeExecutorClient(std::shared_ptr<FakeExecutor> host) : host_(std::move(host)) {}
  ~FakeExecutorClient() override;

  void SayHello(const std::string& controller_id, Callback<Hello> done) override;
  void StartTask(const controller::BackupRecord& record, Callback<bool> done) override;
  void CancelTask(const controller::TaskRef& task, Callback<bool> done) override;
  void ListTasks(Callback<std::vector<controller::KnownTask>> done) override;
  void GetInventory(Callback<controller::HostInventory> done) override;
  void InitRepository(int slot, bool allow_plain_directory,
                      Callback<controller::RepositoryRecord> done) override;
  void AckEvents(int64_t sequence, Callback<bool> done) override;
  void StreamEvents(int64_t after_sequence,
                    std::function<void(std::vector<controller::ExecutorEvent>)> batch,
                    std::function<void(absl::Status)> ended) override;

 private:
  const std::shared_ptr<FakeExecutor> host_;
  int64_t stream_ = 0;
};

}  // namespace vmkeep::test

#endif  // VMKEEP_TESTS_FAKES_FAKE_EXECUTOR_CLIENT_H_
