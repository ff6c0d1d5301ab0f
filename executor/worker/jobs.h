#ifndef VMKEEP_EXECUTOR_WORKER_JOBS_H_
#define VMKEEP_EXECUTOR_WORKER_JOBS_H_

#include "executor/worker/job_context.h"
#include "vmkeep/worker/v1/worker.pb.h"

#include "absl/status/statusor.h"

namespace vmkeep::worker {

// Does what the request says. Every job first proves that the repository is the one it names.
absl::StatusOr<v1::Result> RunJob(const v1::Request& request, JobContext* context);

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_JOBS_H_
