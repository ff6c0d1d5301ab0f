#ifndef VMKEEP_EXECUTOR_WORKER_COPY_H_
#define VMKEEP_EXECUTOR_WORKER_COPY_H_

#include "executor/worker/job_context.h"
#include "vmkeep/worker/v1/worker.pb.h"

#include "absl/status/statusor.h"

namespace vmkeep::worker {

// Copies one disk into the incoming folder, hashed on the way, holes and zeros left out, flushed.
// Memory and page cache do not grow with the image. On an error neither file stays, unless it is
// that the parent ended: then, as after a kill, the next copy may go on with them. See
// worker.proto.
absl::StatusOr<v1::CopyResult> Copy(const v1::Copy& job, JobContext* context);

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_COPY_H_
