#ifndef VMKEEP_EXECUTOR_TASK_TASK_MANAGER_H_
#define VMKEEP_EXECUTOR_TASK_TASK_MANAGER_H_

#include "common/mutex.h"
#include "executor/task/environment.h"
#include "executor/task/event_log.h"
#include "executor/task/journal/records.h"
#include "executor/task/task_run.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace vmkeep::executor {

// The tasks of this host: at most one per VM, a thread each, accepted durably before anything
// happens. Thread-safe; calls may wait for the disk. Outlived by the environment.
class TaskManager {
 public:
  // `ended` is called in a task's thread after its end is durable; must not block long.
  TaskManager(const Environment& env, EventLog& events, std::function<void()> ended);
  // Abandons what still runs: the journal has it.
  ~TaskManager();

  // Goes on with what a crash interrupted. Once, before the first Start().
  absl::Status Recover() ABSL_LOCKS_EXCLUDED(mu_);

  // True when the task was accepted before. FAILED_PRECONDITION, STALE_EPOCH; UNAVAILABLE, VM_BUSY;
  // UNAVAILABLE, EXECUTOR_STOPPED.
  absl::StatusOr<bool> Start(const TaskRecord& record) ABSL_LOCKS_EXCLUDED(mu_);
  // Asks the task to stop. False when there is no such unfinished task: there will be none, either.
  absl::StatusOr<bool> Cancel(const TaskId& task) ABSL_LOCKS_EXCLUDED(mu_);

  // Whether a task that will merge it owns an overlay of this task's id.
  bool Lives(const std::string& task_id) ABSL_LOCKS_EXCLUDED(mu_);

  // The tasks that are not at their end.
  struct Look {
    TaskKind kind;
    std::string phase;
    absl::Time accept_time;
  };
  std::vector<Look> LookAtAll() ABSL_LOCKS_EXCLUDED(mu_);

  // Keeps tasks off a VM while it lives; empty when a task is on it.
  class VmHold {
   public:
    VmHold(TaskManager& manager, std::string vm_uuid)
        : manager_(manager), vm_uuid_(std::move(vm_uuid)) {}
    ~VmHold() { manager_.Release(vm_uuid_); }
    VmHold(const VmHold&) = delete;
    VmHold& operator=(const VmHold&) = delete;

   private:
    TaskManager& manager_;
    const std::string vm_uuid_;
  };
  std::unique_ptr<VmHold> Hold(const std::string& vm_uuid, const std::string& what)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Refuses new tasks, asks the running ones to stop, and waits until they have ended or `bound`
  // has passed: what is left then goes on at the next start.
  void Drain(absl::Duration bound) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    std::shared_ptr<TaskRun> run;
    std::jthread thread;
  };
  // Who works on a VM: a task, or none while a VmHold has it.
  struct Busy {
    std::shared_ptr<TaskRun> run;
    std::string with_what;  // in words
  };

  // Takes the VM for the task; VM_BUSY.
  absl::Status Take(const std::shared_ptr<TaskRun>& run) ABSL_LOCKS_EXCLUDED(mu_);
  void Launch(const std::shared_ptr<TaskRun>& run, TaskEvent first) ABSL_LOCKS_EXCLUDED(mu_);
  void Remove(const TaskRun& run) ABSL_LOCKS_EXCLUDED(mu_);
  void Release(const std::string& vm_uuid) ABSL_LOCKS_EXCLUDED(mu_);
  // Gives the VM back, unless another has it by now.
  void Free(const std::string& vm_uuid, const TaskRun* owner) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<std::shared_ptr<TaskRun>> Running() ABSL_LOCKS_EXCLUDED(mu_);
  std::shared_ptr<TaskRun> NewRun(KnownTask task);

  const Environment& env_;
  EventLog& events_;
  const std::function<void()> ended_;
  std::stop_source abandon_;

  Mutex mu_;
  CondVar changed_;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  std::map<TaskId, Entry> tasks_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Busy> busy_ ABSL_GUARDED_BY(mu_);    // by VM
  std::vector<std::jthread> finished_ ABSL_GUARDED_BY(mu_);  // to be joined
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_TASK_MANAGER_H_
