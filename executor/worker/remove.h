#ifndef VMKEEP_EXECUTOR_WORKER_REMOVE_H_
#define VMKEEP_EXECUTOR_WORKER_REMOVE_H_

#include "executor/worker/job_context.h"
#include "vmkeep/worker/v1/worker.pb.h"

#include "absl/status/statusor.h"

namespace vmkeep::worker {

// Removes exactly one folder, named by ids alone. Both are idempotent: absent is success, and what
// a killed run left half removed is finished. See worker.proto.
absl::StatusOr<v1::RemoveResult> Discard(const v1::Discard& job, JobContext* context);
absl::StatusOr<v1::RemoveResult> Scrub(const v1::Scrub& job, JobContext* context);

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_REMOVE_H_
