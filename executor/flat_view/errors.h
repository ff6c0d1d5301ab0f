#ifndef VMKEEP_EXECUTOR_FLAT_VIEW_ERRORS_H_
#define VMKEEP_EXECUTOR_FLAT_VIEW_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

// Why a flat view is not to be had, named once.
namespace vmkeep::executor::error {

absl::Status FlatViewImpossible(absl::string_view file,
                                absl::string_view why);  // kFailedPrecondition
// kFailedPrecondition, FLAT_VIEW_NOT_STARTED; `said` is qemu-nbd's own last words.
absl::Status FlatViewNotStarted(absl::string_view source, absl::string_view said);
absl::Status FlatViewDeadline(absl::string_view source,
                              absl::Duration after);  // kDeadlineExceeded, FLAT_VIEW_NOT_STARTED
// kUnavailable, FLAT_VIEW_ENDED: by itself, while it was needed, or killed while it started.
absl::Status FlatViewEnded(absl::string_view source, absl::string_view how, absl::string_view said);
absl::Status FlatViewCancelled();  // kCancelled
// kFailedPrecondition, FLAT_VIEW_FOLDER: its socket cannot be made there.
absl::Status FlatViewFolder(absl::string_view folder, absl::string_view why);

}  // namespace vmkeep::executor::error

#endif  // VMKEEP_EXECUTOR_FLAT_VIEW_ERRORS_H_
