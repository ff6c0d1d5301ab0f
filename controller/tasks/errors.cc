#include "controller/tasks/errors.h"

#include "common/error.h"

namespace vmkeep::controller {
namespace {

Failure FailureOf(const absl::Status& status, absl::string_view phase, bool retryable) {
  Failure failure;
  failure.reason = ErrorReason(status);
  if (failure.reason.empty()) failure.reason = "TASK_REFUSED";
  failure.message = std::string(status.message());
  failure.phase = std::string(phase);
  failure.retryable = retryable;
  failure.metadata = ErrorDetails(status);
  return failure;
}

}  // namespace

bool IsRefusal(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:
      return false;
    default:
      return true;
  }
}

Failure RefusedByExecutor(const absl::Status& status) {
  const bool passing = status.code() == absl::StatusCode::kAborted ||
                       status.code() == absl::StatusCode::kResourceExhausted ||
                       ErrorReason(status) == "VM_BUSY";
  return FailureOf(status, "PREFLIGHT", passing);
}

Failure RefusedByPlacement(const absl::Status& status) {
  const bool passing = status.code() == absl::StatusCode::kUnavailable ||
                       status.code() == absl::StatusCode::kResourceExhausted;
  return FailureOf(status, "QUEUED", passing);
}

Failure CancelledBeforeStart() {
  Failure failure;
  failure.reason = "CANCELLED";
  failure.message = "cancelled before the host began to work on it";
  failure.phase = "QUEUED";
  return failure;
}

}  // namespace vmkeep::controller
