#include "executor/service/errors.h"

#include "common/error.h"
#include "common/version.h"

#include "absl/strings/str_cat.h"

namespace vmkeep::executor::error {

absl::Status ProtocolMismatch(int asked_min, int asked_max) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "PROTOCOL_MISMATCH",
      absl::StrCat("this executor speaks protocols ", kProtocolMin, " to ", kProtocolMax,
                   ", the caller ", asked_min, " to ", asked_max,
                   ": bring both to versions of vmkeep that overlap"),
      {{"protocol_min", absl::StrCat(kProtocolMin)}, {"protocol_max", absl::StrCat(kProtocolMax)}});
}

absl::Status Overloaded() {
  return WithRetryAfter(MakeError(absl::StatusCode::kResourceExhausted, "OVERLOADED",
                                  "too many calls wait already: try again soon"),
                        absl::Seconds(1));
}

absl::Status StreamEnds() {
  return WithRetryAfter(MakeError(absl::StatusCode::kUnavailable, "EXECUTOR_STOPPED",
                                  "the executor stops: resume after the last event"),
                        absl::Seconds(5));
}

}  // namespace vmkeep::executor::error
