#ifndef VMKEEP_COMMON_METRICS_ERRORS_H_
#define VMKEEP_COMMON_METRICS_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace vmkeep::metrics::error {

// INVALID_ARGUMENT: no host:port.
absl::Status BadAddress(absl::string_view address, absl::string_view why);
// FAILED_PRECONDITION, INSECURE_LISTENER: an address that others can reach.
absl::Status NotLoopback(absl::string_view address);
// UNAVAILABLE, CANNOT_LISTEN.
absl::Status CannotListen(absl::string_view address, int error_number);

}  // namespace vmkeep::metrics::error

#endif  // VMKEEP_COMMON_METRICS_ERRORS_H_
