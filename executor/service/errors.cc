#include "executor/service/errors.h"

#include "common/error.h"
#include "common/version.h"

#include "absl/strings/str_cat.h"

#include <string>

namespace vmkeep::executor::error {
namespace {

std::string Range(int min, int max) {
  return min == max ? absl::StrCat(min) : absl::StrCat(min, " to ", max);
}

}  // namespace

absl::Status ProtocolMismatch(int asked_min, int asked_max) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "PROTOCOL_MISMATCH",
      absl::StrCat("vmkeep-executor ", kVersion, " speaks protocol ",
                   Range(kProtocolMin, kProtocolMax), ", the controller ",
                   Range(asked_min, asked_max), ": upgrade the ",
                   asked_min > kProtocolMax ? "executor" : "controller"),
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
