#ifndef VMKEEP_CONTROLLER_ACCESS_ERRORS_H_
#define VMKEEP_CONTROLLER_ACCESS_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace vmkeep::controller::error {

absl::Status NoIdentity();  // kUnauthenticated, NO_IDENTITY
// kPermissionDenied, ACCESS_DENIED. Says nothing of what was asked for.
absl::Status AccessDenied(absl::string_view principal, absl::string_view method);

}  // namespace vmkeep::controller::error

#endif  // VMKEEP_CONTROLLER_ACCESS_ERRORS_H_
