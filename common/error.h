#ifndef VMKEEP_COMMON_ERROR_H_
#define VMKEEP_COMMON_ERROR_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

// Typed errors: an absl::Status whose payloads are the google.rpc detail messages that clients of
// gRPC know. Each folder names its errors once, in its own errors.h, and builds them here;
// common/grpc_status.h takes them to the wire and back. Texts may be any bytes (ToUtf8()).
namespace vmkeep {

using ErrorMetadata = std::map<std::string, std::string>;

// `reason` is UPPER_SNAKE and stable (google.rpc.ErrorInfo, domain "vmkeep"); `message` alone is
// enough for a person.
absl::Status MakeError(absl::StatusCode code, absl::string_view reason, absl::string_view message,
                       const ErrorMetadata& metadata = {});

struct FieldViolation {
  std::string field;        // path in the request, such as "name" or "filter.states"
  std::string description;  // what is wrong and what is accepted
};
// kInvalidArgument, reason INVALID_ARGUMENT, with google.rpc.BadRequest.
absl::Status InvalidArgument(const std::vector<FieldViolation>& violations);
absl::Status InvalidArgument(absl::string_view field, absl::string_view description);

// Adds google.rpc.RetryInfo.
absl::Status WithRetryAfter(absl::Status status, absl::Duration delay);
// Adds google.rpc.ResourceInfo: the thing that the error is about.
absl::Status WithResource(absl::Status status, absl::string_view type, absl::string_view name);
// Adds google.rpc.PreconditionFailure: what has to change before the same call can succeed.
absl::Status WithPrecondition(absl::Status status, absl::string_view type,
                              absl::string_view subject, absl::string_view description);
// The same error with "`context`: " before its message; code and payloads stay.
absl::Status WithContext(const absl::Status& status, absl::string_view context);

// The ErrorInfo's reason; empty when there is none.
std::string ErrorReason(const absl::Status& status);
// The same, or the code's name when there is none: for people and labels.
std::string ReasonOrCode(const absl::Status& status);
ErrorMetadata ErrorDetails(const absl::Status& status);

}  // namespace vmkeep

#endif  // VMKEEP_COMMON_ERROR_H_
