#include "tools/vmkeepctl/errors.h"

#include "common/error.h"
#include "tools/vmkeepctl/exit_code.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include <string>

namespace vmkeep::ctl {
namespace error {

using absl::StatusCode;
using absl::StrCat;

absl::Status ControllerUnreachable(absl::string_view server, absl::string_view why) {
  return MakeError(
      StatusCode::kUnavailable, kControllerUnreachable,
      StrCat("the controller at ", server, " cannot be reached: ", WithoutGrpcWords(why)),
      {{"server", std::string(server)}});
}

absl::Status ControllerTooOld(absl::string_view server) {
  return MakeError(StatusCode::kUnimplemented, "CONTROLLER_TOO_OLD",
                   StrCat("the controller at ", server,
                          " does not know this call: it is older than this vmkeepctl, upgrade it"),
                   {{"server", std::string(server)}});
}

absl::Status TimedOut(absl::string_view server) {
  return MakeError(
      StatusCode::kDeadlineExceeded, "TIMED_OUT",
      StrCat("the time allowed ran out before the controller at ", server, " was done"),
      {{"server", std::string(server)}});
}

absl::Status Interrupted() {
  return MakeError(StatusCode::kCancelled, kInterrupted, "interrupted");
}

absl::Status Usage(absl::string_view message) {
  return MakeError(StatusCode::kInvalidArgument, "USAGE", message);
}

absl::Status BackupFailed(const v1::Backup& backup) {
  const v1::Failure& failure = backup.failure();
  ErrorMetadata metadata = {failure.metadata().begin(), failure.metadata().end()};
  metadata["backup_id"] = backup.id();
  metadata["phase"] = failure.phase();
  metadata["retryable"] = failure.retryable() ? "true" : "false";
  const std::string phase = failure.phase().empty() ? "" : StrCat(" in phase ", failure.phase());
  return MakeError(
      failure.retryable() ? StatusCode::kAborted : StatusCode::kFailedPrecondition,
      failure.reason().empty() ? "BACKUP_FAILED" : failure.reason(),
      StrCat("backup ", backup.id(), " failed", phase, ": ",
             failure.message().empty() ? "the record does not say why" : failure.message(),
             failure.retryable() ? "; another try can help"
                                 : "; another try cannot help without a change"),
      metadata);
}

absl::Status UnexpectedState(const v1::Backup& backup, absl::string_view wanted) {
  const std::string state = v1::Backup::State_Name(backup.state());
  return MakeError(StatusCode::kFailedPrecondition, "UNEXPECTED_STATE",
                   StrCat("backup ", backup.id(), " ended ", state, ", not ", wanted),
                   {{"backup_id", backup.id()}, {"state", state}});
}

absl::Status BadCertificate() {
  return MakeError(StatusCode::kInvalidArgument, "BAD_CERTIFICATE",
                   "there is no certificate that can be read in it");
}

absl::Status Unhealthy(int failed) {
  return MakeError(StatusCode::kFailedPrecondition, "UNHEALTHY",
                   StrCat(failed, failed == 1 ? " check failed" : " checks failed"),
                   {{"failed", StrCat(failed)}});
}

bool IsAbsence(const absl::Status& status) {
  if (absl::IsDeadlineExceeded(status)) return true;
  const std::string reason = ErrorReason(status);
  return absl::IsUnavailable(status) &&
         (reason == kControllerUnreachable || reason == "DRAINING" || reason == "STORE_CLOSED");
}

absl::string_view WithoutGrpcWords(absl::string_view message) {
  absl::ConsumePrefix(&message, "failed to connect to all addresses; last error: ");
  absl::ConsumePrefix(&message, "UNKNOWN: ");
  return message;
}

absl::Status WithAdvice(const absl::Status& status, absl::string_view advice, absl::string_view key,
                        absl::string_view value) {
  ErrorMetadata metadata = ErrorDetails(status);
  metadata[std::string(key)] = std::string(value);
  return MakeError(status.code(), ErrorReason(status), StrCat(status.message(), ": ", advice),
                   metadata);
}

}  // namespace error

ExitCode ExitCodeFor(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return kExitUsage;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return error::IsAbsence(status) ? kExitUnreachable : kExitFailed;
    case absl::StatusCode::kCancelled:
      return ErrorReason(status) == error::kInterrupted ? kExitInterrupted : kExitFailed;
    default:
      return kExitFailed;
  }
}

}  // namespace vmkeep::ctl
