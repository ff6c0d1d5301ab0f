#ifndef VMKEEP_EXECUTOR_TASK_COPY_H_
#define VMKEEP_EXECUTOR_TASK_COPY_H_

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

namespace vmkeep::executor {

// "disk-vda.qcow2"; of a chain "disk-vda.raw".
std::string DiskFileName(const Disk& disk);

struct CopyTerms {
  std::function<absl::Status()> room;  // RoomCheck(): what the guest's writes need meanwhile
  absl::Duration deadline;
  bool resume = false;  // go on with what an earlier process left; CheckCanResume() was asked
};

// Copies one static disk into the incoming folder, hashed and flushed; a chain through a flat view,
// whose process is gone when this returns. Gives up when the host runs out of room for the overlays
// (RESOURCE_EXHAUSTED, OVERLAY_SPACE).
absl::StatusOr<worker::v1::CopyResult> CopyDisk(const Environment& env, const TaskRecord& record,
                                                const Disk& disk, const CopyTerms& terms,
                                                const std::stop_token& stop,
                                                const OnProgress& on_progress);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_COPY_H_
