#ifndef VMKEEP_CONTROLLER_DOMAIN_LIFECYCLE_H_
#define VMKEEP_CONTROLLER_DOMAIN_LIFECYCLE_H_

#include "controller/domain/backup.h"
#include "controller/domain/executor_event.h"

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include <optional>
#include <string>

// How one record moves: pure functions (record, event) -> record. Every move is an edge of
// domain/states.h.
namespace vmkeep::controller {

// A step before the snapshot that failed for a passing reason is tried again this often by itself.
inline constexpr int kMaxAttempts = 3;
// Beside that, a backup that named no repository moves away from each at most once: when it failed
// by the repository's fault (repository_fault.h), at any step, with its VM merged back.

// What a durable event of the host's executor makes of the record; nothing when it changes nothing:
// another task or epoch, a task whose end is known.
std::optional<BackupRecord> ApplyEvent(const BackupRecord& record, const ExecutorEvent& event);

// SCRUB asked for. ILLEGAL_TRANSITION from CLOSED; from SCRUB and SCRUBBING the record as it is.
absl::StatusOr<BackupRecord> RequestScrub(const BackupRecord& record);

// Another try of a backup that failed for good, as if it had just been asked for: REQUESTED, no
// failure, all attempts left, any repository. ILLEGAL_TRANSITION from every state but UNRESOURCED.
absl::StatusOr<BackupRecord> RequestRetry(const BackupRecord& record);

// A new try: the next epoch, a new task. A scrub goes to the repository where the record says that
// the files are, whatever is given here; of that one `repository` is the slot that it has by now.
// STALE_TASK unless NeedOf() says kBackupTask or kScrubTask.
absl::StatusOr<BackupRecord> BeginTask(const BackupRecord& record, std::string task_id,
                                       int repository, std::string repository_id,
                                       std::string placement_reason, int64_t reserved_bytes);

// The try ended before it did anything, or placement refused it. REQUESTED and BUILDING: REQUESTED
// with another attempt when `failure.retryable` and attempts are left, else UNRESOURCED. BUILDING
// by the repository's fault: it moves. REQUESTED, and it had moved: UNRESOURCED with that failure,
// whatever is given. SCRUBBING and SCRUB: SCRUB, a scrub task is owed. STALE_TASK in other states
// and for another epoch than the record's.
absl::StatusOr<BackupRecord> RejectTask(const BackupRecord& record, int64_t epoch, Failure failure);

// SCRUB without files and without an open task -> CLOSED.
absl::StatusOr<BackupRecord> CloseWithoutTask(const BackupRecord& record);

// What the scheduler owes a record.
enum class Need {
  kNothing,
  kBackupTask,  // REQUESTED
  kAwaitTask,   // BUILDING or SCRUBBING, task open: the host's events end it
  kCancelTask,  // SCRUB, the backup's task still open: the host must hear of it
  kScrubTask,   // SCRUB, no task open, files may exist
  kCloseNow,    // SCRUB, no task open, no files
};
Need NeedOf(const BackupRecord& record);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_DOMAIN_LIFECYCLE_H_
