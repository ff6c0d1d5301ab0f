#ifndef VMKEEP_EXECUTOR_WORKER_SEAL_EXPORT_H_
#define VMKEEP_EXECUTOR_WORKER_SEAL_EXPORT_H_

#include "executor/worker/job_context.h"
#include "vmkeep/worker/v1/worker.pb.h"

#include "absl/status/statusor.h"

namespace vmkeep::worker {

// Checks what a hypervisor exported, names it `export`, flushes it, reads all of it back and hashes
// it; see worker.proto. Writes nothing but the digest lists of the disks. Can be repeated: what was
// renamed before is found under its new name. Nobody may write there meanwhile; a file that changes
// all the same is EXPORT_INCOMPLETE.
absl::StatusOr<v1::SealExportResult> SealExport(const v1::SealExport& job, JobContext* context);

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_SEAL_EXPORT_H_
