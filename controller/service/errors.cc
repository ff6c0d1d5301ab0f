#include "controller/service/errors.h"

#include "common/error.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace vmkeep::controller::error {

absl::Status BackupClosed(absl::string_view id) {
  return WithPrecondition(
      MakeError(absl::StatusCode::kFailedPrecondition, "BACKUP_CLOSED",
                absl::StrCat("backup ", id, " is CLOSED: its record stays as it is"),
                {{"backup_id", std::string(id)}}),
      "STATE", id, "the backup must not be CLOSED");
}

absl::Status VmBackedUpAlready(absl::string_view vm) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "UNFINISHED_BACKUP",
                   absl::StrCat("VM ", vm, " is being backed up already: try again later"));
}

absl::Status Draining() {
  return WithRetryAfter(MakeError(absl::StatusCode::kUnavailable, "DRAINING",
                                  "the controller is stopping; nothing was done, call again"),
                        absl::Seconds(5));
}

}  // namespace vmkeep::controller::error
