#include "controller/access/errors.h"

#include "common/error.h"

#include "absl/strings/str_cat.h"

namespace vmkeep::controller::error {

absl::Status NoIdentity() {
  return MakeError(absl::StatusCode::kUnauthenticated, "NO_IDENTITY",
                   "nobody knows who calls: use the unix socket, loopback, or a client certificate "
                   "with a common name");
}

absl::Status AccessDenied(absl::string_view principal, absl::string_view method) {
  return MakeError(absl::StatusCode::kPermissionDenied, "ACCESS_DENIED",
                   absl::StrCat("\"", principal, "\" may not call ", method),
                   {{"principal", std::string(principal)}, {"method", std::string(method)}});
}

}  // namespace vmkeep::controller::error
