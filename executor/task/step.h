#ifndef VMKEEP_EXECUTOR_TASK_STEP_H_
#define VMKEEP_EXECUTOR_TASK_STEP_H_

#include "executor/hypervisor/hypervisor.h"

#include "absl/strings/string_view.h"

#include <optional>
#include <string>
#include <vector>

// A task is a list of steps: plain data that is journalled, printed and walked by Advance()
// (advance.h).
namespace vmkeep::executor {

enum class TaskKind { kBackup, kScrub };

enum class StepKind {
  kPreflight,
  kSnapshot,
  kCopy,   // one per disk
  kMerge,  // one per disk
  kCheck,
  kRemoveOverlay,
  kExport,     // the hypervisor writes the files itself
  kEndExport,  // nobody writes there any more
  kSeal,       // read back and hashed
  kPublish,
  kDiscard,
  kScrub,
};

// When a step runs.
enum class StepClass {
  kForward,  // only while nothing failed and nobody cancelled
  kAlways,   // once the snapshot or the export was begun, whatever happened: the safe direction
  kOnAbort,  // only after a failure or a cancel
};

enum class StepStatus { kPending, kRunning, kDone, kFailed };

struct Step {
  StepKind kind = StepKind::kPreflight;
  std::string target;  // the disk of a copy or a merge, else empty
  StepStatus status = StepStatus::kPending;

  friend bool operator==(const Step&, const Step&) = default;
};

// What holds for every step of a kind.
struct StepRule {
  StepKind kind = StepKind::kPreflight;
  absl::string_view name;  // as on the wire and in the journal
  StepClass step_class = StepClass::kForward;
  bool stoppable = false;      // ends early, soon after it was asked to
  bool past_return = false;    // a cancel or a stop comes too late: it is finished
  bool repeated = false;       // after a restart: it finds what is done already and does the rest
  bool needs_journal = false;  // does not begin before its intent is on the disk
  absl::string_view phase;     // of vmkeep.v1.Progress
};
const StepRule& RuleOf(StepKind kind);
std::optional<StepKind> StepKindNamed(absl::string_view name);

absl::string_view TaskKindName(TaskKind kind);
std::optional<TaskKind> TaskKindNamed(absl::string_view name);

// The steps of a task. `method` and `disks`, the targets, are known once the preflight is done;
// before that a backup has the steps of kOverlays, without disks.
std::vector<Step> StepsOf(TaskKind kind, BackupMethod method,
                          const std::vector<std::string>& disks);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_STEP_H_
