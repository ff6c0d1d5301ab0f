#include "controller/dispatch/errors.h"

#include "common/error.h"
#include "common/version.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace vmkeep::controller::error {

absl::Status HostUnreachable(const HostId& host, absl::string_view why) {
  return WithResource(
      MakeError(absl::StatusCode::kUnavailable, "HOST_UNREACHABLE",
                absl::StrCat("host ", host, " is not reachable: ", why), {{"host_id", host}}),
      "host", host);
}

absl::Status ExecutorSilent(absl::Duration since) {
  return MakeError(
      absl::StatusCode::kUnavailable, "EXECUTOR_SILENT",
      absl::StrCat("no sign of life of its executor for ", absl::FormatDuration(since)));
}

absl::Status ProtocolMismatch(absl::string_view version, int protocol) {
  const absl::string_view remedy = protocol < kProtocolMin
                                       ? "bring vmkeep-executor on this host up to date"
                                       : "bring vmkeep-controller up to date first";
  return MakeError(absl::StatusCode::kFailedPrecondition, "PROTOCOL_MISMATCH",
                   absl::StrCat("its executor (version ", version.empty() ? "unknown" : version,
                                ") speaks protocol ", protocol, ", this controller ", kProtocolMin,
                                " to ", kProtocolMax, ": ", remedy),
                   {{"protocol", absl::StrCat(protocol)}});
}

absl::Status BadAnswer(absl::string_view call, absl::string_view what) {
  return MakeError(absl::StatusCode::kInternal, "BAD_ANSWER",
                   absl::StrCat("the executor's answer to ", call, " breaks the protocol: ", what));
}

}  // namespace vmkeep::controller::error
