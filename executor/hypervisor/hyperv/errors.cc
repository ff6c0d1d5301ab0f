#include "executor/hypervisor/hyperv/errors.h"

#include "common/error.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace vmkeep::executor::error {

using absl::StatusCode;
using absl::StrCat;

absl::Status ScriptTampered(absl::string_view file, absl::string_view why) {
  return MakeError(StatusCode::kFailedPrecondition, "SCRIPT_TAMPERED",
                   StrCat("the script ", file, " ", why,
                          ": it is not run. Install the executor anew, scripts included."),
                   {{"file", std::string(file)}});
}

absl::Status ScriptFailed(absl::string_view script, absl::string_view how) {
  return MakeError(StatusCode::kUnavailable, "SCRIPT_FAILED", StrCat(script, ".ps1 ", how),
                   {{"script", std::string(script)}});
}

absl::Status ScriptProtocol(absl::string_view script, absl::string_view why) {
  return MakeError(StatusCode::kInternal, "SCRIPT_PROTOCOL",
                   StrCat(script, ".ps1 ", why, ". Is it of the same version as the executor?"),
                   {{"script", std::string(script)}});
}

absl::Status ScriptDeadline(absl::string_view script, absl::string_view for_what,
                            absl::Duration after) {
  return MakeError(
      StatusCode::kDeadlineExceeded, "SCRIPT_DEADLINE",
      StrCat(script, ".ps1: ", for_what, " did not come within ", absl::FormatDuration(after)),
      {{"script", std::string(script)}});
}

absl::Status ScriptNotCancelled(absl::string_view script, absl::Duration after) {
  return MakeError(StatusCode::kUnavailable, "SCRIPT_NOT_CANCELLED",
                   StrCat(script, ".ps1 did not end within ", absl::FormatDuration(after),
                          " of its cancel and was killed: what it had begun may go on"),
                   {{"script", std::string(script)}});
}

absl::Status ScriptCancelled(absl::string_view script) {
  return MakeError(StatusCode::kCancelled, "CANCELLED", StrCat(script, ".ps1 was cancelled"),
                   {{"script", std::string(script)}});
}

absl::Status HyperVMissing(absl::string_view said) {
  return MakeError(StatusCode::kFailedPrecondition, "HYPERV_MISSING",
                   StrCat("this host has no Hyper-V that PowerShell can use: add the Hyper-V role "
                          "with its module for Windows PowerShell (",
                          said, ")"));
}

absl::Status HyperVAccessDenied(absl::string_view said) {
  return MakeError(StatusCode::kPermissionDenied, "HYPERV_ACCESS_DENIED",
                   StrCat("Hyper-V refuses the account that the executor runs under: make it a "
                          "member of Hyper-V Administrators, or run it as LocalSystem (",
                          said, ")"));
}

absl::Status VmAmbiguous(absl::string_view vm, const std::vector<std::string>& ids) {
  const std::string list = absl::StrJoin(ids, ", ");
  return MakeError(StatusCode::kFailedPrecondition, "VM_AMBIGUOUS",
                   StrCat("several VMs have the name ", vm, ": name one by its id: ", list),
                   {{"ids", list}});
}

absl::Status VmInvalidState(absl::string_view vm, absl::string_view said) {
  return MakeError(StatusCode::kFailedPrecondition, "VM_INVALID_STATE",
                   StrCat("VM ", vm,
                          " is in a state in which Hyper-V does not do this: look at it "
                          "in Hyper-V Manager (",
                          said, ")"));
}

absl::Status ExportAccessDenied(absl::string_view vm, absl::string_view said) {
  return MakeError(
      StatusCode::kPermissionDenied, "EXPORT_ACCESS_DENIED",
      StrCat("Hyper-V may not write the export of VM ", vm,
             " to the repository. Hyper-V itself writes it, as this host's computer account: give "
             "DOMAIN\\HOST$ write rights on the share and on its folder (",
             said, ")"));
}

absl::Status ExportFull(absl::string_view vm, absl::string_view said) {
  return MakeError(
      StatusCode::kResourceExhausted, "REPOSITORY_FULL",
      StrCat("the repository has no room left for the export of VM ", vm, " (", said, ")"));
}

absl::Status RepositoryUnreachable(absl::string_view vm, absl::string_view said) {
  return MakeError(StatusCode::kUnavailable, "REPOSITORY_UNREACHABLE",
                   StrCat("Hyper-V does not reach the repository for the export of VM ", vm,
                          ": check the storage server and the network to it (", said, ")"));
}

}  // namespace vmkeep::executor::error
