#ifndef VMKEEP_EXECUTOR_TASK_RESUME_H_
#define VMKEEP_EXECUTOR_TASK_RESUME_H_

#include "executor/task/environment.h"
#include "executor/task/journal/records.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <stop_token>
#include <string>

// Whether a copy that an earlier process of the executor began may be gone on with.
namespace vmkeep::executor {

// Device, inode, size and time of change of every file that a copy of the disk reads, a line each;
// of a block device its number and its size. ABORTED, DISK_CHANGED, when one cannot be looked at.
absl::StatusOr<std::string> IdentityOf(const Disk& disk);

// OK when the host was not booted since, the copy's time is not over, the disk is what it was when
// the copy began, and its repository answers. `begun` is null when the journal does not have it.
// Else UNAVAILABLE, EXECUTOR_RESTARTED, with why; CANCELLED when `stop` was requested.
absl::Status CheckCanResume(const Environment& env, const TaskRecord& record, const Disk& disk,
                            const CopyBegin* begun, const std::stop_token& stop);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_RESUME_H_
