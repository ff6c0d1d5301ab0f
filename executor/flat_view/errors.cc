#include "executor/flat_view/errors.h"

#include "common/error.h"

#include "absl/strings/str_cat.h"

#include <string>

namespace vmkeep::executor::error {

using absl::StatusCode;
using absl::StrCat;

absl::Status FlatViewImpossible(absl::string_view file, absl::string_view why) {
  return MakeError(StatusCode::kFailedPrecondition, "FLAT_VIEW_IMPOSSIBLE",
                   StrCat("the image ", file, " cannot be read as part of a chain: ", why),
                   {{"path", std::string(file)}});
}

absl::Status FlatViewNotStarted(absl::string_view source, absl::string_view said) {
  return MakeError(StatusCode::kFailedPrecondition, "FLAT_VIEW_NOT_STARTED",
                   StrCat("qemu-nbd cannot open the chain of ", source, ": ", said,
                          ". See whether each file of the chain is there and is not in use by "
                          "something else, then try again."),
                   {{"path", std::string(source)}});
}

absl::Status FlatViewDeadline(absl::string_view source, absl::Duration after) {
  return MakeError(
      StatusCode::kDeadlineExceeded, "FLAT_VIEW_NOT_STARTED",
      StrCat("qemu-nbd did not open the chain of ", source, " within ", absl::FormatDuration(after),
             ". Check the host's disks: can its files be read?"),
      {{"path", std::string(source)}});
}

absl::Status FlatViewEnded(absl::string_view source, absl::string_view how,
                           absl::string_view said) {
  return MakeError(StatusCode::kUnavailable, "FLAT_VIEW_ENDED",
                   StrCat("qemu-nbd, which reads the chain of ", source,
                          ", ended before the copy did (", how, said.empty() ? "" : ", it said: ",
                          said, "). Was it killed, for want of memory perhaps? Try again."),
                   {{"path", std::string(source)}, {"how", std::string(how)}});
}

absl::Status FlatViewCancelled() {
  return MakeError(StatusCode::kCancelled, "CANCELLED", "the job was cancelled.");
}

absl::Status FlatViewFolder(absl::string_view folder, absl::string_view why) {
  return MakeError(StatusCode::kFailedPrecondition, "FLAT_VIEW_FOLDER",
                   StrCat("cannot serve a chain of images from ", folder, ": ", why,
                          ". Choose another --state_dir, or put that right."),
                   {{"folder", std::string(folder)}});
}

}  // namespace vmkeep::executor::error
