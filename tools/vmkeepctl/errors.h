#ifndef VMKEEP_TOOLS_VMKEEPCTL_ERRORS_H_
#define VMKEEP_TOOLS_VMKEEPCTL_ERRORS_H_

#include "vmkeep/v1/backup.pb.h"

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

// What vmkeepctl itself fails with, named once. What the controller answers is passed on as it is.
namespace vmkeep::ctl::error {

inline constexpr char kControllerUnreachable[] = "CONTROLLER_UNREACHABLE";
inline constexpr char kInterrupted[] = "INTERRUPTED";

absl::Status ControllerUnreachable(absl::string_view server,
                                   absl::string_view why);  // kUnavailable
// kUnimplemented, CONTROLLER_TOO_OLD: it does not know the call.
absl::Status ControllerTooOld(absl::string_view server);
absl::Status TimedOut(absl::string_view server);  // kDeadlineExceeded, TIMED_OUT
absl::Status Interrupted();                       // kCancelled, INTERRUPTED
absl::Status Usage(absl::string_view message);    // kInvalidArgument, USAGE
// kFailedPrecondition, or kAborted when the same request may succeed later; reason, message and
// phase of its failure.
absl::Status BackupFailed(const v1::Backup& backup);
// kFailedPrecondition, UNEXPECTED_STATE: somebody else moved it on.
absl::Status UnexpectedState(const v1::Backup& backup, absl::string_view wanted);
absl::Status BadCertificate();  // kInvalidArgument, BAD_CERTIFICATE
// kFailedPrecondition, UNHEALTHY: so many checks of doctor failed.
absl::Status Unhealthy(int failed);

// True when no controller stands behind the error: it was not reached, or it said that it is going.
bool IsAbsence(const absl::Status& status);

// gRPC's `message` without its own words before the part that a person can use.
absl::string_view WithoutGrpcWords(absl::string_view message);

// The same error with `advice` after its message, and `key` = `value` added to its metadata.
absl::Status WithAdvice(const absl::Status& status, absl::string_view advice, absl::string_view key,
                        absl::string_view value);

}  // namespace vmkeep::ctl::error

#endif  // VMKEEP_TOOLS_VMKEEPCTL_ERRORS_H_
