#ifndef VMKEEP_EXECUTOR_TASK_PREFLIGHT_H_
#define VMKEEP_EXECUTOR_TASK_PREFLIGHT_H_

#include "executor/task/environment.h"
#include "executor/task/journal/records.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <cstdint>
#include <stop_token>

namespace vmkeep::executor {

// Step 1 of a backup: looks at everything, changes nothing. The VM can be backed up, the repository
// is the right one and has room, the host has room for the overlays. The answer is in the journal.
absl::StatusOr<BackupData> Preflight(const Environment& env, const TaskRecord& record,
                                     const std::stop_token& stop);

// The same for a hypervisor that exports: the repository has room for the whole chain of each disk.
// The images are the hypervisor's to read, and are not looked at.
absl::StatusOr<BackupData> PreflightExport(const Environment& env, const TaskRecord& record,
                                           const std::stop_token& stop);

// The repository answers, is the right one, and has `needed` bytes free: REPOSITORY_*.
absl::Status CheckRepository(const Environment& env, const TaskRecord& record, int64_t needed,
                             const std::stop_token& stop);

// The disk's image is the file that was described. ABORTED, DISK_CHANGED.
absl::Status CheckSameFile(const Disk& disk);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_PREFLIGHT_H_
