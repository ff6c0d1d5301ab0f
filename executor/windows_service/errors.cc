#include "executor/windows_service/errors.h"

#include "common/error.h"

#include "absl/strings/str_cat.h"

namespace vmkeep::executor::error {

absl::Status ServiceExists() {
  return MakeError(absl::StatusCode::kAlreadyExists, "SERVICE_EXISTS",
                   "the service vmkeep-executor is installed already; to change its flags, "
                   "`service uninstall` it and install it again");
}

absl::Status ServiceNotInstalled() {
  return MakeError(absl::StatusCode::kNotFound, "SERVICE_NOT_INSTALLED",
                   "there is no service vmkeep-executor on this machine");
}

absl::Status ServiceRights() {
  return MakeError(absl::StatusCode::kPermissionDenied, "SERVICE_RIGHTS",
                   "Windows does not let this account change services; run it as an "
                   "administrator, in a console that was started as one");
}

absl::Status ServiceStillThere() {
  return MakeError(absl::StatusCode::kFailedPrecondition, "SERVICE_MARKED_FOR_DELETION",
                   "the service vmkeep-executor is being removed, and a program still looks at it; "
                   "close the services console and try again");
}

absl::Status ServiceNotStopped(absl::Duration after) {
  return MakeError(absl::StatusCode::kDeadlineExceeded, "SERVICE_NOT_STOPPED",
                   absl::StrCat("the service vmkeep-executor was told to stop and has not within ",
                                absl::FormatDuration(after),
                                "; it is still installed. See its log, then try again"));
}

absl::Status NotAService() {
  return MakeError(absl::StatusCode::kFailedPrecondition, "NOT_A_SERVICE",
                   "`service run` is for Windows to call; start the service with `net start "
                   "vmkeep-executor`, or leave `service run` out to serve in this console");
}

absl::Status ServiceCallFailed(absl::string_view call, int64_t code) {
  return MakeError(absl::StatusCode::kInternal, "SERVICE_CALL_FAILED",
                   absl::StrCat(call, " failed, Windows error ", code),
                   {{"system_error", absl::StrCat(code)}});
}

}  // namespace vmkeep::executor::error
