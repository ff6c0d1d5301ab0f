#ifndef VMKEEP_EXECUTOR_WINDOWS_SERVICE_ERRORS_H_
#define VMKEEP_EXECUTOR_WINDOWS_SERVICE_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <cstdint>

namespace vmkeep::executor::error {

absl::Status ServiceExists();        // kAlreadyExists
absl::Status ServiceNotInstalled();  // kNotFound
absl::Status ServiceRights();        // kPermissionDenied: not an elevated administrator
absl::Status ServiceStillThere();    // kFailedPrecondition: marked for deletion
absl::Status ServiceNotStopped(absl::Duration after);  // kDeadlineExceeded
absl::Status NotAService();  // kFailedPrecondition: started from a console
absl::Status ServiceCallFailed(absl::string_view call, int64_t code);  // kInternal

}  // namespace vmkeep::executor::error

#endif  // VMKEEP_EXECUTOR_WINDOWS_SERVICE_ERRORS_H_
