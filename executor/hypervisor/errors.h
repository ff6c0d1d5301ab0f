#ifndef VMKEEP_EXECUTOR_HYPERVISOR_ERRORS_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include <string>
#include <vector>

// What a hypervisor's verbs fail with, named once.
namespace vmkeep::executor::error {

absl::Status VmNotFound(absl::string_view vm);                           // kNotFound, VM_NOT_FOUND
absl::Status VmBusy(absl::string_view vm, absl::string_view with_what);  // kUnavailable, VM_BUSY
absl::Status CannotBackUp(absl::string_view vm,
                          absl::string_view why_and_remedy);  // kFailedPrecondition, CANNOT_BACK_UP
// kFailedPrecondition, VM_ON_OVERLAY; metadata "files".
absl::Status VmOnOverlay(absl::string_view vm, const std::vector<std::string>& files,
                         absl::string_view remedy);
absl::Status MergeNotReady(absl::string_view target);  // kUnavailable, MERGE_NOT_READY
absl::Status MergeFailed(absl::string_view target,
                         absl::string_view why);  // kUnavailable, MERGE_FAILED
// kFailedPrecondition, OVERLAY_NOT_MERGED: the VM is on its base, and what its overlay holds is not
// known to be in there; metadata "files".
absl::Status OverlayNotMerged(absl::string_view target, absl::string_view overlay,
                              absl::string_view base);
// kFailedPrecondition, OVERLAY_MISSING; metadata "file".
absl::Status OverlayMissing(absl::string_view target, absl::string_view file);
// kDataLoss, BASE_NOT_FLUSHED. Final: a flush that is repeated succeeds, whatever was lost.
absl::Status BaseNotFlushed(absl::string_view file, absl::string_view why);
absl::Status QuiesceFailed(absl::string_view vm,
                           absl::string_view why);          // kFailedPrecondition, QUIESCE_FAILED
absl::Status HypervisorUnavailable(absl::string_view why);  // kUnavailable, HYPERVISOR_UNAVAILABLE
absl::Status HypervisorFailed(absl::string_view while_doing,
                              absl::string_view why);  // kInternal, HYPERVISOR_ERROR
// kUnavailable, EXPORT_NOT_ENDED.
absl::Status ExportNotEnded(absl::string_view vm, absl::string_view why);
// kUnimplemented, NOT_OF_THIS_HYPERVISOR: a verb of the other BackupMethod. A defect of ours.
absl::Status NotOfThisHypervisor(absl::string_view hypervisor, absl::string_view verb);

}  // namespace vmkeep::executor::error

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_ERRORS_H_
