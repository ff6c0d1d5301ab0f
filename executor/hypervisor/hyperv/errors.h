#ifndef VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_ERRORS_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <string>
#include <vector>

// What only Hyper-V and its scripts fail with, named once; the rest is in hypervisor/errors.h.
namespace vmkeep::executor::error {

// kFailedPrecondition, SCRIPT_TAMPERED; metadata "file".
absl::Status ScriptTampered(absl::string_view file, absl::string_view why);
// kUnavailable, SCRIPT_FAILED: it ended otherwise than it has to; metadata "script".
absl::Status ScriptFailed(absl::string_view script, absl::string_view how);
// kInternal, SCRIPT_PROTOCOL: it said what no script of ours says; metadata "script".
absl::Status ScriptProtocol(absl::string_view script, absl::string_view why);
// kDeadlineExceeded, SCRIPT_DEADLINE: killed; `for_what` it was waited so long.
absl::Status ScriptDeadline(absl::string_view script, absl::string_view for_what,
                            absl::Duration after);
// kUnavailable, SCRIPT_NOT_CANCELLED: killed, as it did not end when it was asked to.
absl::Status ScriptNotCancelled(absl::string_view script, absl::Duration after);
absl::Status ScriptCancelled(absl::string_view script);  // kCancelled, CANCELLED

absl::Status HyperVMissing(absl::string_view said);       // kFailedPrecondition, HYPERV_MISSING
absl::Status HyperVAccessDenied(absl::string_view said);  // kPermissionDenied, HYPERV_ACCESS_DENIED
// kFailedPrecondition, VM_AMBIGUOUS; metadata "ids".
absl::Status VmAmbiguous(absl::string_view vm, const std::vector<std::string>& ids);
// kFailedPrecondition, VM_INVALID_STATE.
absl::Status VmInvalidState(absl::string_view vm, absl::string_view said);

// The three of a repository: controller/domain/repository_fault.h knows them.
// kPermissionDenied, EXPORT_ACCESS_DENIED.
absl::Status ExportAccessDenied(absl::string_view vm, absl::string_view said);
// kResourceExhausted, REPOSITORY_FULL.
absl::Status ExportFull(absl::string_view vm, absl::string_view said);
// kUnavailable, REPOSITORY_UNREACHABLE.
absl::Status RepositoryUnreachable(absl::string_view vm, absl::string_view said);

}  // namespace vmkeep::executor::error

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_ERRORS_H_
