#ifndef VMKEEP_EXECUTOR_WORKER_PREPARE_EXPORT_H_
#define VMKEEP_EXECUTOR_WORKER_PREPARE_EXPORT_H_

#include "vmkeep/worker/v1/worker.pb.h"

#include "absl/status/statusor.h"

namespace vmkeep::worker {

// Below an incoming folder: what the hypervisor writes into. Checked, it gets the name
// manifest::kExportFolder.
inline constexpr char kExportStaging[] = ".export";

// Makes an empty folder for a hypervisor to export into; see worker.proto. What an earlier export
// of this try left goes, the sealed one too: the caller knows that nobody writes there any more.
absl::StatusOr<v1::PrepareExportResult> PrepareExport(const v1::PrepareExport& job);

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_PREPARE_EXPORT_H_
