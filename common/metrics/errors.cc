#include "common/metrics/errors.h"

#include "common/error.h"

#include "absl/strings/str_cat.h"

#include <system_error>

namespace vmkeep::metrics::error {

absl::Status BadAddress(absl::string_view address, absl::string_view why) {
  return InvalidArgument("--metrics_listen", absl::StrCat("\"", address, "\": ", why,
                                                          "; use 127.0.0.1:port or [::1]:port, or "
                                                          "leave it empty for no metrics"));
}

absl::Status NotLoopback(absl::string_view address) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "INSECURE_LISTENER",
                   absl::StrCat("--metrics_listen: ", address,
                                " can be reached by others, and metrics are answered to whoever "
                                "asks: listen on 127.0.0.1 or [::1], and put a proxy that asks for "
                                "a certificate before it when another machine scrapes"));
}

absl::Status CannotListen(absl::string_view address, int error_number) {
  return MakeError(absl::StatusCode::kUnavailable, "CANNOT_LISTEN",
                   absl::StrCat("cannot listen on ", address,
                                " for metrics: ", std::generic_category().message(error_number),
                                "; choose another --metrics_listen, or end what uses it"));
}

}  // namespace vmkeep::metrics::error
