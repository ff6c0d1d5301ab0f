#ifndef VMKEEP_TESTS_SIMULATION_TASK_DRIVER_H_
#define VMKEEP_TESTS_SIMULATION_TASK_DRIVER_H_

#include "executor/task/advance.h"
#include "executor/task/journal/records.h"
#include "executor/task/merge.h"
#include "tests/simulation/executor_model.h"

#include "absl/status/status.h"

#include <optional>
#include <string>
#include <vector>

namespace vmkeep::sim {

// One task, on a fiber: stands for executor/task/task_run and step_runner. It knows how a step is
// carried out against the models, and nothing of what comes next: Advance() says that.
class TaskDriver {
 public:
  TaskDriver(ExecutorModel& process, executor::KnownTask task);

  void Execute(const executor::TaskEvent& first);
  void Cancel();

  const executor::TaskRecord& record() const { return task_.record; }
  const executor::TaskState& state() const { return task_.state; }
  bool ended() const { return ended_; }

 private:
  std::vector<executor::Command> Apply(const executor::TaskEvent& event);
  std::optional<executor::TaskEvent> CarryOut(const std::vector<executor::Command>& commands);
  absl::Status Save();
  void End(const executor::Ending& ending);
  executor::TaskEvent RunStep(int index);
  absl::Status Run(const executor::Step& step);

  absl::Status Preflight();
  absl::Status Snapshot();
  absl::Status BeginCopy(const std::string& target);
  absl::Status Copy(const std::string& target);
  absl::Status Merge(const std::string& target);
  absl::Status Publish();
  absl::Status PublishOnce();
  absl::Status Scrub();
  absl::Status DiscardTry(const executor::TaskRecord& record);
  absl::Status ScrubPublished();

  Nas* Repository(const executor::TaskRecord& record) const;
  executor::MergeContext Merging() const;
  controller::ExecutorEvent NewEvent() const;
  controller::TaskEnded Ended(const executor::Ending& ending) const;

  ExecutorModel& process_;
  const ExecutorEnv& env_;
  executor::KnownTask task_;
  std::string interrupted_copy_;  // the disk whose copy an earlier process had begun
  std::vector<controller::ExecutorEvent> unsaved_;
  bool stop_step_ = false;
  bool ended_ = false;
  std::optional<controller::BackupResult> result_;
};

}  // namespace vmkeep::sim

#endif  // VMKEEP_TESTS_SIMULATION_TASK_DRIVER_H_
