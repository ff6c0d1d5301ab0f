#ifndef VMKEEP_EXECUTOR_WORKER_PUBLISH_H_
#define VMKEEP_EXECUTOR_WORKER_PUBLISH_H_

#include "executor/worker/job_context.h"
#include "vmkeep/worker/v1/worker.pb.h"

#include "absl/status/statusor.h"

namespace vmkeep::worker {

// Makes an incoming folder a backup in one rename; see worker.proto. Idempotent: what this try of
// this task published already is success. After the rename has begun a cancel comes too late.
absl::StatusOr<v1::PublishResult> Publish(const v1::Publish& job, JobContext* context);

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_PUBLISH_H_
