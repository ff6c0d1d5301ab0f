#ifndef VMKEEP_TESTS_SIMULATION_EXECUTOR_MODEL_H_
#define VMKEEP_TESTS_SIMULATION_EXECUTOR_MODEL_H_

#include "controller/dispatch/executor_client.h"
#include "tests/simulation/fiber.h"
#include "tests/simulation/host_model.h"
#include "tests/simulation/journal_model.h"
#include "tests/simulation/nas_model.h"
#include "tests/simulation/trace.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace vmkeep::sim {

class TaskDriver;

// What an executor works with; all of it outlives the process.
struct ExecutorEnv {
  Base& base;
  HostModel& host;
  JournalModel& journal;
  std::map<int, Nas*> repositories;  // by slot
  // Asked at every boundary: whether the process dies here.
  std::function<bool(const std::string& where)> dies;
  // The process died: what is left of it has to be destroyed, not from one of its fibers.
  std::function<void()> died;
  // A task is about to publish or to scrub at this instant.
  std::function<void(const std::string& deed, const executor::TaskRecord& task)> acts;
  // Durable events are there, or something of the inventory changed.
  std::function<void()> told;
};

// One process of an executor: the decisions are those of executor/task/advance.h and
// executor/task/merge.h, what carries them out here stands for task_manager, task_run, step_runner,
// overlay_keeper and repositories. Destroying it is kill -9.
class ExecutorModel {
 public:
  explicit ExecutorModel(ExecutorEnv env);
  ~ExecutorModel();
  ExecutorModel(const ExecutorModel&) = delete;
  ExecutorModel& operator=(const ExecutorModel&) = delete;

  // The service. `record` as controller/dispatch sends it.
  absl::StatusOr<bool> StartTask(const controller::BackupRecord& record);
  absl::StatusOr<bool> CancelTask(const controller::TaskRef& task);
  std::vector<controller::KnownTask> ListTasks() const;
  absl::StatusOr<controller::HostInventory> GetInventory();
  absl::StatusOr<bool> AckEvents(int64_t sequence);

  // At a boundary: throws Killed when the process dies here.
  void Boundary(const std::string& where);
  bool dead() const { return dead_; }

  // For checkers: the step of this task that runs now, if the task lives.
  std::optional<executor::StepKind> RunningStep(const std::string& task_id) const;
  const ExecutorEnv& env() const { return env_; }

 private:
  friend class TaskDriver;
  absl::Status Take(const executor::TaskRecord& record);
  void Launch(executor::KnownTask task, const executor::TaskEvent& first);
  bool Lives(const std::string& task_id) const;
  void Keep();  // the overlay keeper's fiber
  void KeepOnce();
  void Finish(const executor::KnownTask& task);
  void MergeUnknown(const executor::VmSummary& vm, const std::vector<executor::OverlayDisk>& disks);
  void ProbeLoop(int slot);  // a repository's fiber
  void Probe(int slot, Nas& nas);

  const ExecutorEnv env_;
  bool dead_ = false;
  std::map<executor::TaskId, std::shared_ptr<TaskDriver>> tasks_;
  std::map<std::string, std::string> busy_;  // VM -> with what
  std::map<int, controller::RepositoryRecord> seen_;
  std::vector<std::unique_ptr<Fiber>> fibers_;  // last: destroyed first
};

// Removes what a task left below .incoming, as the worker does.
absl::Status RemoveTry(ExecutorModel& process, Nas& nas, const executor::TaskRecord& record);

}  // namespace vmkeep::sim

#endif  // VMKEEP_TESTS_SIMULATION_EXECUTOR_MODEL_H_
