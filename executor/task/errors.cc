#include "executor/task/errors.h"

#include "common/error.h"

#include "absl/strings/str_cat.h"

namespace vmkeep::executor::error {

using absl::StatusCode;
using absl::StrCat;

absl::Status StaleEpoch(absl::string_view task, int64_t seen) {
  return MakeError(
      StatusCode::kFailedPrecondition, "STALE_EPOCH",
      StrCat("task ", task, " is out of date: epoch ", seen, " was seen or cancelled already"),
      {{"seen_epoch", StrCat(seen)}});
}

absl::Status ExecutorStopped() {
  return WithRetryAfter(MakeError(StatusCode::kUnavailable, "EXECUTOR_STOPPED",
                                  "the executor of this host was stopped: try again when it runs"),
                        absl::Seconds(10));
}

absl::Status ExecutorRestarted() {
  return MakeError(StatusCode::kUnavailable, "EXECUTOR_RESTARTED",
                   "the executor of this host ended in the middle of the task and came up again: "
                   "what the task had begun on the VM was undone, try again");
}

absl::Status CopyNotResumed(const absl::Status& why) {
  return MakeError(StatusCode::kUnavailable, "EXECUTOR_RESTARTED",
                   StrCat("the executor of this host ended in the middle of the copy and came up "
                          "again, and the copy could not go on: ",
                          std::string(why.message()), ". The VM was merged back, try again"),
                   {{"why", ErrorReason(why)}});
}

absl::Status RepositoryNotConfigured(int slot) {
  return MakeError(StatusCode::kFailedPrecondition, "REPOSITORY_NOT_CONFIGURED",
                   StrCat("this host has no repository ", slot, ": set --repository_",
                          slot == 1 ? "primary" : "secondary"));
}

absl::Status RepositoryMismatch(int slot, absl::string_view expected, absl::string_view found) {
  return MakeError(StatusCode::kFailedPrecondition, "REPOSITORY_MISMATCH",
                   StrCat("repository ", slot, " of this host is ", found, ", not ", expected,
                          ": mount the right one, or choose another repository"),
                   {{"expected", std::string(expected)}, {"found", std::string(found)}});
}

absl::Status RepositoryFull(int slot, int64_t needed, int64_t free) {
  return MakeError(StatusCode::kResourceExhausted, "REPOSITORY_FULL",
                   StrCat("repository ", slot, " has ", free, " bytes free, the backup may need ",
                          needed, ": scrub old backups or make it larger"),
                   {{"needed_bytes", StrCat(needed)}, {"free_bytes", StrCat(free)}});
}

absl::Status OverlaySpace(absl::string_view folder, int64_t needed, int64_t free) {
  return MakeError(StatusCode::kResourceExhausted, "OVERLAY_SPACE",
                   StrCat("the host's file system of ", folder, " has ", free,
                          " bytes free; the guest's writes during the "
                          "copy need ",
                          needed, " in reserve: make room on the host"),
                   {{"folder", std::string(folder)},
                    {"needed_bytes", StrCat(needed)},
                    {"free_bytes", StrCat(free)}});
}

absl::Status DiskChanged(absl::string_view target, absl::string_view source) {
  return MakeError(StatusCode::kAborted, "DISK_CHANGED",
                   StrCat("the image of disk ", target, " (", source,
                          ") is another file than at the start of the backup"),
                   {{"target", std::string(target)}, {"source", std::string(source)}});
}

absl::Status MergeDeadline(absl::string_view target, absl::Duration limit,
                           const absl::Status& last) {
  return MakeError(
      StatusCode::kDeadlineExceeded, "MERGE_DEADLINE",
      StrCat("disk ", target, " could not be merged within ", absl::FormatDuration(limit),
             last.ok() ? absl::string_view(": it does not converge") : absl::string_view(": "),
             last.message(), "; the executor goes on trying"));
}

absl::Status UnknownOverlay(absl::string_view vm, absl::string_view files) {
  return MakeError(StatusCode::kFailedPrecondition, "UNKNOWN_OVERLAY",
                   StrCat("VM ", vm, " was found on overlays that no journal names (", files,
                          "): they were merged by their names"));
}

absl::Status MergeOutrun(absl::string_view target, int64_t left) {
  return MakeError(
      StatusCode::kUnavailable, "MERGE_OUTRUN",
      StrCat("the guest writes to disk ", target, " faster than it can be merged: ", left,
             " bytes are left and do not get less; it stays on its overlay "
             "meanwhile"));
}

absl::Status ExportStalled(absl::string_view vm, absl::Duration after, const absl::Status& last) {
  return MakeError(StatusCode::kDeadlineExceeded, "EXPORT_STALLED",
                   StrCat("the export of VM ", vm, " did not move for ",
                          absl::FormatDuration(after), last.ok() ? "" : ": ", last.message(),
                          ". Check the hypervisor, the storage server and the network to it"));
}

absl::Status ExportDeadline(absl::string_view vm) {
  return MakeError(StatusCode::kDeadlineExceeded, "EXPORT_DEADLINE",
                   StrCat("the export of VM ", vm, " took longer than the backup may"));
}

absl::Status ExportLost(absl::string_view vm) {
  return MakeError(StatusCode::kUnavailable, "EXPORT_LOST",
                   StrCat("the hypervisor knows nothing any more of the export of VM ", vm,
                          " that it had begun: try again"));
}

absl::Status ExportCancelled() {
  return MakeError(StatusCode::kCancelled, "CANCELLED", "the export was cancelled");
}

absl::Status SequenceUnknown(int64_t asked, int64_t last) {
  return MakeError(StatusCode::kOutOfRange, "SEQUENCE_UNKNOWN",
                   StrCat("events after ", asked, " are asked for, but the last one is ", last,
                          ": this executor's state was lost or replaced"),
                   {{"last_sequence", StrCat(last)}});
}

bool IsPassing(const absl::Status& status) {
  switch (status.code()) {
    case StatusCode::kUnavailable:
    case StatusCode::kAborted:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kResourceExhausted:
      return true;
    default:
      return false;
  }
}

}  // namespace vmkeep::executor::error
