#ifndef VMKEEP_EXECUTOR_TASK_ADVANCE_H_
#define VMKEEP_EXECUTOR_TASK_ADVANCE_H_

#include "executor/task/step.h"

#include "absl/status/status.h"

#include <optional>
#include <string>
#include <vector>

// The core of a task: a pure function (state, event) -> (state, commands). No I/O, no threads, no
// clock. The edge (task_run.h) carries the commands out and comes back with events; a crash between
// any two is a Restarted event.
namespace vmkeep::executor {

struct TaskState {
  TaskKind kind = TaskKind::kBackup;
  std::vector<Step> steps;
  bool ended = false;
  bool cancelled = false;             // a cancel came in time
  absl::Status failure;               // the first one; OK while nothing failed
  std::optional<StepKind> failed_in;  // the step under way then; unset when there was none

  // The step under way; -1 when there is none. Never more than one.
  int running() const;
  // Merged data could not be flushed: what was merged is not proven any more by looking again, and
  // nothing is removed.
  bool lost() const;

  friend bool operator==(const TaskState&, const TaskState&) = default;
};

TaskState NewTask(TaskKind kind);

struct TaskEvent {
  enum class Kind {
    kStart,
    kStepSucceeded,    // the step under way; `disks` and `method` after the preflight
    kStepFailed,       // the step under way; `status`
    kCancelRequested,  // by the controller
    kStopRequested,    // the executor goes down; `status`
    kRestarted,  // the executor came up again; `status` is the failure of a task that cannot go on
  };
  Kind kind = Kind::kStart;
  absl::Status status;
  std::vector<std::string> disks;
  BackupMethod method = BackupMethod::kOverlays;
};

enum class Outcome { kDone, kFailed, kCancelled };

// How a task ends.
struct Ending {
  Outcome outcome = Outcome::kDone;
  bool files_may_remain = false;
  bool vm_on_overlay = false;
  bool snapshot_taken = false;  // or an export begun; or may have been
};

struct Command {
  enum class Kind {
    kThaw,  // make sure that the guest is not frozen, with retries; never waits for the journal
    kEmitStepDone,   // tell the controller, durably, that `step` is done
    kJournalIntent,  // put the state on the disk; RunStep waits for it if the step's rule says
                     // needs_journal
    kRunStep,        // run `step`, then come back with kStepSucceeded or kStepFailed
    kCancelRunningStep,
    kEnd,  // put the end on the disk and tell the controller; the last command of a task
  };
  Kind kind = Kind::kRunStep;
  int step = -1;
  Ending ending;
};

struct Transition {
  TaskState next;
  std::vector<Command> commands;
};

// An event that makes no sense in a state (a second Start, an answer without a step) changes
// nothing.
Transition Advance(const TaskState& state, const TaskEvent& event);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_ADVANCE_H_
