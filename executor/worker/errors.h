#ifndef VMKEEP_EXECUTOR_WORKER_ERRORS_H_
#define VMKEEP_EXECUTOR_WORKER_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <cstdint>
#include <string>

// Every way a job can fail. Each message is a sentence with the remedy; the reasons are part of the
// wire.
namespace vmkeep::worker::error {

absl::Status RepositoryNotMounted(absl::string_view root,
                                  absl::string_view why);  // kFailedPrecondition
absl::Status RepositoryMarkerAbsent(absl::string_view root,
                                    bool mount_point);  // kFailedPrecondition
absl::Status RepositoryMarkerInvalid(absl::string_view root, absl::string_view why);  // kDataLoss
// kFailedPrecondition
absl::Status RepositoryMismatch(absl::string_view root, absl::string_view wanted,
                                absl::string_view found);
// An error of common/fs below the root, by its reason:
//   NO_SPACE            kResourceExhausted   REPOSITORY_FULL
//   NOT_PERMITTED       kFailedPrecondition  REPOSITORY_NOT_WRITABLE
//   PATH_LEAVES_FOLDER  kFailedPrecondition  REPOSITORY_TAMPERED: a link where we make folders
//   any other           kUnavailable         REPOSITORY_IO_ERROR
// An error without errno, or one that has a worker's reason already, stays what it is.
absl::Status AtRepository(const absl::Status& status, absl::string_view root);

// The same error with what is behind the repository's path; details: target.
absl::Status WithTarget(const absl::Status& status, absl::string_view words,
                        absl::string_view remedy);

absl::Status SourceUnusable(absl::string_view path, absl::string_view why);  // kFailedPrecondition
absl::Status SourceReadError(absl::string_view path, int64_t offset, int err);  // kDataLoss
absl::Status SourceChanged(absl::string_view path, absl::string_view what);     // kAborted
absl::Status SourceBusy(absl::string_view path);  // kFailedPrecondition
// kUnavailable: whoever served the source's flat view ended or does not answer.
absl::Status SourceViewLost(absl::string_view path, absl::string_view why);
// Both kDeadlineExceeded, COPY_STALLED: it is the same storage that does not answer.
absl::Status CopyStalled(absl::string_view path, absl::Duration after);
absl::Status SealStalled(absl::string_view incoming, absl::Duration after);
absl::Status CopyInUse();        // kUnavailable
absl::Status CopyUnavailable();  // kUnimplemented: where only exports are backed up
absl::Status Cancelled();        // kCancelled

absl::Status IncomingAbsent(absl::string_view incoming);  // kFailedPrecondition
absl::Status IncomingIncomplete(absl::string_view incoming,
                                absl::string_view why);  // kFailedPrecondition
// kFailedPrecondition. `file`: below the export, or empty.
absl::Status ExportIncomplete(absl::string_view incoming, absl::string_view file,
                              absl::string_view why);
absl::Status AlreadyPublished(absl::string_view backup_id, absl::string_view by);  // kAlreadyExists

}  // namespace vmkeep::worker::error

#endif  // VMKEEP_EXECUTOR_WORKER_ERRORS_H_
