#ifndef VMKEEP_EXECUTOR_TASK_ERRORS_H_
#define VMKEEP_EXECUTOR_TASK_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <cstdint>

// What the task engine fails with, named once.
namespace vmkeep::executor::error {

absl::Status StaleEpoch(absl::string_view task, int64_t seen);  // kFailedPrecondition, STALE_EPOCH
absl::Status ExecutorStopped();                                 // kUnavailable, EXECUTOR_STOPPED
absl::Status ExecutorRestarted();                               // kUnavailable, EXECUTOR_RESTARTED
// The same of a copy that cannot be gone on with; metadata "why": a reason, or empty.
absl::Status CopyNotResumed(const absl::Status& why);
absl::Status RepositoryNotConfigured(int slot);  // kFailedPrecondition
// kFailedPrecondition, REPOSITORY_MISMATCH; metadata "expected", "found".
absl::Status RepositoryMismatch(int slot, absl::string_view expected, absl::string_view found);
// kResourceExhausted, REPOSITORY_FULL; metadata "needed_bytes", "free_bytes".
absl::Status RepositoryFull(int slot, int64_t needed, int64_t free);
// kResourceExhausted, OVERLAY_SPACE; metadata "folder", "needed_bytes", "free_bytes".
absl::Status OverlaySpace(absl::string_view folder, int64_t needed, int64_t free);
absl::Status DiskChanged(absl::string_view target,
                         absl::string_view source);  // kAborted, DISK_CHANGED
// kDeadlineExceeded, MERGE_DEADLINE; `last` is what the last try said.
absl::Status MergeDeadline(absl::string_view target, absl::Duration limit,
                           const absl::Status& last);
// kFailedPrecondition, UNKNOWN_OVERLAY: merged, and the files left for a person.
absl::Status UnknownOverlay(absl::string_view vm, absl::string_view files);
// kUnavailable, MERGE_OUTRUN: the guest writes faster than the merge, whatever was done.
absl::Status MergeOutrun(absl::string_view target, int64_t left);
// kDeadlineExceeded, EXPORT_STALLED; `last` is what the hypervisor said last, when it was an error.
absl::Status ExportStalled(absl::string_view vm, absl::Duration after, const absl::Status& last);
// kDeadlineExceeded, EXPORT_DEADLINE.
absl::Status ExportDeadline(absl::string_view vm);
// kUnavailable, EXPORT_LOST: the hypervisor knows nothing of an export that it had begun.
absl::Status ExportLost(absl::string_view vm);
absl::Status ExportCancelled();                             // kCancelled, CANCELLED
absl::Status SequenceUnknown(int64_t asked, int64_t last);  // kOutOfRange, SEQUENCE_UNKNOWN

// Whether the same work may succeed later without a change.
bool IsPassing(const absl::Status& status);

}  // namespace vmkeep::executor::error

#endif  // VMKEEP_EXECUTOR_TASK_ERRORS_H_
