#ifndef VMKEEP_EXECUTOR_TASK_EXPORT_H_
#define VMKEEP_EXECUTOR_TASK_EXPORT_H_

#include "executor/task/environment.h"
#include "executor/task/journal/records.h"
#include "executor/task/worker_job.h"
#include "vmkeep/worker/v1/worker.pb.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

// A backup whose files the hypervisor writes itself (BackupMethod::kExport): a worker makes the
// folder, the hypervisor fills it, a worker reads it back.
namespace vmkeep::executor {

// Has the task's folder made, empty. Its name is for the hypervisor alone.
absl::StatusOr<std::string> PrepareExport(const Environment& env, const TaskRecord& record,
                                          const std::stop_token& stop);

using OnExportProgress = std::function<void(const ExportStatus&)>;

// Starts the export and watches it until it is done; `until` is of the monotonic clock.
// DEADLINE_EXCEEDED, EXPORT_STALLED, when neither bytes nor the percentage moved for
// export_stall_timeout; EXPORT_DEADLINE; UNAVAILABLE, EXPORT_LOST; CANCELLED soon after `stop`.
// After any error somebody may still write: EndExportSurely().
absl::StatusOr<SnapshotResult> ExportVm(const Environment& env, const ExportPlan& plan,
                                        absl::Duration until, const std::stop_token& stop,
                                        const OnExportProgress& on_progress);

// Makes sure that nobody writes into the plan's folder any more; asks again and again, for
// merge_deadline. May be called at any time and again. UNAVAILABLE, EXPORT_NOT_ENDED, or what the
// hypervisor said.
absl::Status EndExportSurely(const Environment& env, const ExportPlan& plan,
                             const std::stop_token& stop);

// Checks and hashes what was exported.
absl::StatusOr<worker::v1::SealExportResult> SealExport(
    const Environment& env, const TaskRecord& record, const std::vector<Disk>& disks,
    absl::Duration until, const std::stop_token& stop, const OnProgress& on_progress);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_EXPORT_H_
