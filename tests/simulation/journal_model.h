#ifndef VMKEEP_TESTS_SIMULATION_JOURNAL_MODEL_H_
#define VMKEEP_TESTS_SIMULATION_JOURNAL_MODEL_H_

#include "controller/domain/executor_event.h"
#include "executor/task/advance.h"
#include "executor/task/journal/records.h"
#include "tests/simulation/trace.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::sim {

// What executor/task/journal keeps, on maps, with the verbs of journal.h: durable when a verb
// returns, unchanged when it fails. It outlives its executor. Events are the controller's values.
class JournalModel {
 public:
  struct Task {
    executor::KnownTask known;
    bool acknowledged = false;
    bool on_overlay = false;
    bool files_remain = false;
    int64_t end_sequence = 0;
  };
  explicit JournalModel(Base& base) : base_(base) {}

  bool failing = false;  // no write comes about

  absl::StatusOr<bool> Known(const executor::TaskId& task, const std::string& backup_id) const;
  absl::StatusOr<bool> Accept(const executor::TaskRecord& record, const executor::TaskState& state);
  absl::StatusOr<bool> RefuseUnlessUnfinished(const executor::TaskId& task);
  absl::Status Save(const executor::TaskId& task, const executor::TaskState& state,
                    const std::vector<controller::ExecutorEvent>& events);
  absl::Status End(const executor::TaskId& task, const executor::TaskState& state,
                   const executor::Ending& ending,
                   const std::vector<controller::ExecutorEvent>& events);
  absl::Status PutData(const executor::TaskId& task, const executor::BackupData& data);
  absl::Status ForgetOverlays(const executor::TaskId& task);
  absl::Status ForgetFiles(const executor::TaskId& task);
  absl::Status Acknowledge(int64_t sequence);

  std::vector<executor::KnownTask> Unfinished() const;
  std::vector<executor::KnownTask> Stranded() const;
  std::vector<executor::TaskRecord> Leftovers() const;
  bool NamesOverlay(const std::string& task_id) const;
  std::vector<controller::ExecutorEvent> EventsAfter(int64_t sequence) const;

  const std::vector<Task>& tasks() const { return tasks_; }  // in the order of acceptance
  int64_t last_sequence() const { return last_sequence_; }
  bool has_events() const { return !events_.empty(); }
  // Every task that was ever accepted: for the checkers, never forgotten.
  const std::map<std::string, executor::TaskRecord>& ever() const { return ever_; }

 private:
  absl::Status Write() const;
  Task* Find(const executor::TaskId& task);
  void Add(const std::vector<controller::ExecutorEvent>& events);
  void DropForgotten();

  Base& base_;
  std::vector<Task> tasks_;
  std::map<std::string, std::pair<int64_t, std::string>> highest_;  // backup -> epoch, task id
  std::map<std::string, int64_t> refused_;                          // task id -> epoch
  std::vector<controller::ExecutorEvent> events_;
  int64_t last_sequence_ = 0;
  std::map<std::string, executor::TaskRecord> ever_;
};

}  // namespace vmkeep::sim

#endif  // VMKEEP_TESTS_SIMULATION_JOURNAL_MODEL_H_
