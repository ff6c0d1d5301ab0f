#include "executor/worker/errors.h"

#include "common/error.h"
#include "common/fs/errors.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include <cstring>

namespace vmkeep::worker::error {

absl::Status RepositoryNotMounted(absl::string_view root, absl::string_view why) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "REPOSITORY_NOT_MOUNTED",
      absl::StrCat("no repository is mounted at ", root, ": ", why, ". Mount it, then try again."),
      {{"root", std::string(root)}});
}

absl::Status RepositoryMarkerAbsent(absl::string_view root, bool mount_point) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "REPOSITORY_MARKER_ABSENT",
      absl::StrCat(
          root, " holds no .vmkeep-repository marker",
          mount_point
              ? ": initialise it with 'vmkeepctl repo init', or mount the right file system."
              : " and is no mount point: mount the repository there, then try again."),
      {{"root", std::string(root)}, {"mount_point", mount_point ? "true" : "false"}});
}

absl::Status RepositoryMarkerInvalid(absl::string_view root, absl::string_view why) {
  return MakeError(absl::StatusCode::kDataLoss, "REPOSITORY_MARKER_INVALID",
                   absl::StrCat("the marker ", root, "/.vmkeep-repository cannot be read: ", why,
                                ". Put it back from the record of this repository's id."),
                   {{"root", std::string(root)}});
}

absl::Status RepositoryMismatch(absl::string_view root, absl::string_view wanted,
                                absl::string_view found) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "REPOSITORY_MISMATCH",
                   absl::StrCat("the repository at ", root, " is ", found, ", not ", wanted,
                                ": mount the right one, or register this one."),
                   {{"root", std::string(root)},
                    {"wanted", std::string(wanted)},
                    {"found", std::string(found)}});
}

absl::Status AtRepository(const absl::Status& status, absl::string_view root) {
  const int err = fs::error::Errno(status);
  const std::string reason = ErrorReason(status);
  const bool ours = absl::StartsWith(reason, "REPOSITORY_") || absl::StartsWith(reason, "SOURCE_");
  if (status.ok() || err == 0 || ours) return status;
  ErrorMetadata metadata = ErrorDetails(status);
  metadata["root"] = std::string(root);
  const auto make = [&](absl::StatusCode code, absl::string_view wire_reason,
                        absl::string_view remedy) {
    return MakeError(
        code, wire_reason,
        absl::StrCat("repository ", root, ": ", std::string(status.message()), ". ", remedy),
        metadata);
  };
  if (reason == "NO_SPACE") {
    return make(absl::StatusCode::kResourceExhausted, "REPOSITORY_FULL",
                "Make room there or raise its quota, or use the other repository.");
  }
  if (reason == "NOT_PERMITTED") {
    return make(absl::StatusCode::kFailedPrecondition, "REPOSITORY_NOT_WRITABLE",
                "Mount it read-write and let this host's user write there.");
  }
  if (reason == "PATH_LEAVES_FOLDER") {
    return make(absl::StatusCode::kFailedPrecondition, "REPOSITORY_TAMPERED",
                "Something else put a link or a mount where only vmkeep makes folders: remove it.");
  }
  return make(absl::StatusCode::kUnavailable, "REPOSITORY_IO_ERROR",
              "Check the storage server and the network to it, then try again.");
}

absl::Status WithTarget(const absl::Status& status, absl::string_view words,
                        absl::string_view remedy) {
  ErrorMetadata metadata = ErrorDetails(status);
  metadata["target"] = std::string(words);
  return MakeError(status.code(), ErrorReason(status),
                   absl::StrCat(std::string(status.message()), " What is there: ", words, ".",
                                remedy.empty() ? "" : " ", remedy),
                   metadata);
}

absl::Status SourceUnusable(absl::string_view path, absl::string_view why) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "SOURCE_UNUSABLE",
                   absl::StrCat("cannot copy ", path, ": ", why, "."),
                   {{"path", std::string(path)}});
}

absl::Status SourceReadError(absl::string_view path, int64_t offset, int err) {
  return MakeError(
      absl::StatusCode::kDataLoss, "SOURCE_READ_ERROR",
      absl::StrCat("cannot read ", path, " at offset ", offset, ": ", std::strerror(err),
                   ". Check the host's disk: the VM itself cannot read there either."),
      {{"path", std::string(path)},
       {"offset", absl::StrCat(offset)},
       {"errno", absl::StrCat(err)}});
}

absl::Status SourceChanged(absl::string_view path, absl::string_view what) {
  return MakeError(
      absl::StatusCode::kAborted, "SOURCE_CHANGED",
      absl::StrCat(path, " changed while it was copied (", what,
                   "): the copy is worthless. Find what else writes to it, then try again."),
      {{"path", std::string(path)}, {"what", std::string(what)}});
}

absl::Status SourceBusy(absl::string_view path) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "SOURCE_BUSY",
      absl::StrCat(
          path,
          " is open for writing by a QEMU process: it must lie behind a snapshot, or its VM "
          "be off, before it can be copied."),
      {{"path", std::string(path)}});
}

absl::Status SourceViewLost(absl::string_view path, absl::string_view why) {
  return MakeError(
      absl::StatusCode::kUnavailable, "SOURCE_VIEW_LOST",
      absl::StrCat("copying ", path, ": the qemu-nbd process that flattens its chain is gone (",
                   why,
                   "). The disk is unharmed; see whether something killed that process, such as "
                   "the kernel for want of memory, then try again."),
      {{"path", std::string(path)}});
}

namespace {

absl::Status Stalled(absl::string_view doing, absl::string_view path, absl::Duration after) {
  return MakeError(
      absl::StatusCode::kDeadlineExceeded, "COPY_STALLED",
      absl::StrCat(doing, " ", path, ": no byte moved for ", absl::FormatDuration(after),
                   ". Check the storage server and the network to it, then try again."),
      {{"path", std::string(path)}});
}

}  // namespace

absl::Status CopyStalled(absl::string_view path, absl::Duration after) {
  return Stalled("copying", path, after);
}

absl::Status SealStalled(absl::string_view incoming, absl::Duration after) {
  return Stalled("reading back the export in", absl::StrCat(".incoming/", incoming), after);
}

absl::Status CopyInUse() {
  return MakeError(absl::StatusCode::kUnavailable, "COPY_IN_USE",
                   "an earlier worker still has this copy's files open, though it should have "
                   "ended: see whether the storage server hangs, then try again.");
}

absl::Status CopyUnavailable() {
  return MakeError(absl::StatusCode::kUnimplemented, "COPY_UNAVAILABLE",
                   "this host's worker copies no disk images: its hypervisor exports its VMs. Back "
                   "up the VM from a host whose hypervisor gives out images.");
}

absl::Status Cancelled() {
  return MakeError(absl::StatusCode::kCancelled, "CANCELLED", "the job was cancelled.");
}

absl::Status IncomingAbsent(absl::string_view incoming) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "INCOMING_ABSENT",
                   absl::StrCat("there is nothing to go on with: .incoming/", incoming,
                                " does not exist. It was discarded; make the backup again."),
                   {{"incoming", std::string(incoming)}});
}

absl::Status IncomingIncomplete(absl::string_view incoming, absl::string_view why) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "INCOMING_INCOMPLETE",
                   absl::StrCat(".incoming/", incoming, " is not what its manifest says: ", why,
                                ". Discard it and make the backup again."),
                   {{"incoming", std::string(incoming)}});
}

absl::Status ExportIncomplete(absl::string_view incoming, absl::string_view file,
                              absl::string_view why) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "EXPORT_INCOMPLETE",
      absl::StrCat(".incoming/", incoming, " holds no whole export: ", file,
                   file.empty() ? "" : ": ", why, ". Discard it and make the backup again."),
      {{"incoming", std::string(incoming)}, {"file", std::string(file)}});
}

absl::Status AlreadyPublished(absl::string_view backup_id, absl::string_view by) {
  return MakeError(absl::StatusCode::kAlreadyExists, "ALREADY_PUBLISHED",
                   absl::StrCat("backup ", backup_id, " is published already, ", by,
                                ": this try is outdated; discard it."),
                   {{"backup_id", std::string(backup_id)}});
}

}  // namespace vmkeep::worker::error
