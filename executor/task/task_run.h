#ifndef VMKEEP_EXECUTOR_TASK_TASK_RUN_H_
#define VMKEEP_EXECUTOR_TASK_TASK_RUN_H_

#include "common/mutex.h"
#include "executor/task/advance.h"
#include "executor/task/environment.h"
#include "executor/task/event_log.h"
#include "executor/task/journal/records.h"
#include "executor/task/step_runner.h"

#include "absl/status/status.h"

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace vmkeep::executor {

// The edge of one task: asks Advance() what to do, does it, and comes back with what happened.
// Execute() runs in the task's own thread; the rest is thread-safe.
class TaskRun {
 public:
  // `abandon`: the process is about to end. The task is left as the journal has it, and goes on at
  // the next start as after a crash.
  TaskRun(const Environment& env, EventLog& events, KnownTask task, std::stop_token abandon);

  // From `first` (a start, or a restart) to the task's end.
  void Execute(const TaskEvent& first) ABSL_LOCKS_EXCLUDED(mu_);

  void Cancel() ABSL_LOCKS_EXCLUDED(mu_);
  // The executor is asked to stop: FAILED, retryable, after the VM is merged back.
  void Stop(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mu_);

  const TaskRecord& record() const { return record_; }
  // Of vmkeep.v1.Progress, by the step under way; QUEUED before the first one.
  std::string phase() ABSL_LOCKS_EXCLUDED(mu_);
  // All steps are behind it: it touches the VM no more.
  bool ended() ABSL_LOCKS_EXCLUDED(mu_) { return State().ended; }

 private:
  std::vector<Command> Apply(const TaskEvent& event) ABSL_LOCKS_EXCLUDED(mu_);
  // Nothing when the task ended or is abandoned.
  std::optional<TaskEvent> CarryOut(const std::vector<Command>& commands);
  void NoteStepDone(const Step& step);
  TaskEvent RunStep(int index);
  absl::Status Save();
  void End(const Ending& ending);

  v1::Event StepDoneEvent(const Step& step);
  v1::Event EndedEvent(const TaskState& state, const Ending& ending);
  TaskState State() ABSL_LOCKS_EXCLUDED(mu_);

  const Environment& env_;
  EventLog& events_;
  const TaskRecord record_;
  const std::stop_token abandon_;
  StepRunner steps_;
  std::vector<v1::Event> unsaved_;  // what happened, not yet in the journal

  Mutex mu_;
  TaskState state_ ABSL_GUARDED_BY(mu_);
  std::stop_source step_ ABSL_GUARDED_BY(mu_);  // a new one for each step
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_TASK_RUN_H_
