#include "executor/hypervisor/errors.h"

#include "common/error.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace vmkeep::executor::error {

using absl::StatusCode;
using absl::StrCat;

absl::Status VmNotFound(absl::string_view vm) {
  return WithResource(MakeError(StatusCode::kNotFound, "VM_NOT_FOUND",
                                StrCat("there is no VM ", vm, " on this host")),
                      "vm", vm);
}

absl::Status VmBusy(absl::string_view vm, absl::string_view with_what) {
  return MakeError(
      StatusCode::kUnavailable, "VM_BUSY",
      StrCat("VM ", vm, " is busy with ", with_what, ": try again when that has ended"));
}

absl::Status CannotBackUp(absl::string_view vm, absl::string_view why_and_remedy) {
  return MakeError(StatusCode::kFailedPrecondition, "CANNOT_BACK_UP",
                   StrCat("VM ", vm, " cannot be backed up: ", why_and_remedy));
}

absl::Status VmOnOverlay(absl::string_view vm, const std::vector<std::string>& files,
                         absl::string_view remedy) {
  const std::string list = absl::StrJoin(files, ", ");
  return WithPrecondition(
      MakeError(StatusCode::kFailedPrecondition, "VM_ON_OVERLAY",
                StrCat("VM ", vm, " still runs on an overlay of an earlier backup (", list,
                       "): ", remedy),
                {{"files", list}}),
      "VM_ON_OVERLAY", vm, remedy);
}

absl::Status MergeNotReady(absl::string_view target) {
  return MakeError(StatusCode::kUnavailable, "MERGE_NOT_READY",
                   StrCat("the merge of ", target, " is not ready yet"));
}

absl::Status MergeFailed(absl::string_view target, absl::string_view why) {
  return MakeError(StatusCode::kUnavailable, "MERGE_FAILED",
                   StrCat("the merge of ", target, " failed: ", why));
}

absl::Status OverlayNotMerged(absl::string_view target, absl::string_view overlay,
                              absl::string_view base) {
  return MakeError(StatusCode::kFailedPrecondition, "OVERLAY_NOT_MERGED",
                   StrCat("disk ", target, " is on ", base, " again, and nobody saw that ", overlay,
                          " was merged into it: what the guest wrote during the backup may be in "
                          "that file alone"),
                   {{"files", std::string(overlay)}});
}

absl::Status OverlayMissing(absl::string_view target, absl::string_view file) {
  return MakeError(StatusCode::kFailedPrecondition, "OVERLAY_MISSING",
                   StrCat("disk ", target, " is on the overlay ", file,
                          ", and there is no such file: nothing was touched"),
                   {{"file", std::string(file)}});
}

absl::Status BaseNotFlushed(absl::string_view file, absl::string_view why) {
  return MakeError(
      StatusCode::kDataLoss, "BASE_NOT_FLUSHED",
      StrCat("what the guest wrote during the backup was merged into ", file,
             ", but this host could not flush it (", why,
             "): some of it may be lost. Check the storage below that file, then the guest's file "
             "systems. The overlays are kept meanwhile; remove them when the guest is well"),
      {{"file", std::string(file)}});
}

absl::Status QuiesceFailed(absl::string_view vm, absl::string_view why) {
  return MakeError(StatusCode::kFailedPrecondition, "QUIESCE_FAILED",
                   StrCat("the guest of VM ", vm, " could not be frozen: ", why,
                          ": start its guest agent, or ask for quiesce IF_AVAILABLE or NEVER"));
}

absl::Status HypervisorUnavailable(absl::string_view why) {
  return MakeError(StatusCode::kUnavailable, "HYPERVISOR_UNAVAILABLE",
                   StrCat("the hypervisor does not answer: ", why));
}

absl::Status HypervisorFailed(absl::string_view while_doing, absl::string_view why) {
  return MakeError(StatusCode::kInternal, "HYPERVISOR_ERROR", StrCat(while_doing, ": ", why));
}

absl::Status ExportNotEnded(absl::string_view vm, absl::string_view why) {
  return MakeError(StatusCode::kUnavailable, "EXPORT_NOT_ENDED",
                   StrCat("the export of VM ", vm, " may still write: ", why));
}

absl::Status NotOfThisHypervisor(absl::string_view hypervisor, absl::string_view verb) {
  return MakeError(StatusCode::kUnimplemented, "NOT_OF_THIS_HYPERVISOR",
                   StrCat(hypervisor, " has no ", verb));
}

}  // namespace vmkeep::executor::error
