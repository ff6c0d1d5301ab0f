#ifndef VMKEEP_EXECUTOR_SERVICE_ERRORS_H_
#define VMKEEP_EXECUTOR_SERVICE_ERRORS_H_

#include "absl/status/status.h"

// What the service itself refuses, named once.
namespace vmkeep::executor::error {

absl::Status ProtocolMismatch(int asked_min,
                              int asked_max);  // kFailedPrecondition, PROTOCOL_MISMATCH
absl::Status Overloaded();                     // kResourceExhausted, OVERLOADED
absl::Status StreamEnds();                     // kUnavailable, EXECUTOR_STOPPED

}  // namespace vmkeep::executor::error

#endif  // VMKEEP_EXECUTOR_SERVICE_ERRORS_H_
