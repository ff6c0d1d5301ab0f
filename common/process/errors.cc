#include "common/process/errors.h"

#include "common/error.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace vmkeep::process::error {

absl::Status NotStarted(absl::string_view program, int64_t code) {
  return NotStarted(program, SystemText(code), code);
}

absl::Status NotStarted(absl::string_view program, absl::string_view why, int64_t code) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "PROGRAM_NOT_STARTED",
      absl::StrCat("cannot start ", program, ": ", why, "; is it installed and executable?"),
      {{"program", std::string(program)}, {"system_error", absl::StrCat(code)}});
}

absl::Status Gone(absl::string_view program) {
  return MakeError(absl::StatusCode::kUnavailable, "PROCESS_GONE",
                   absl::StrCat(program, " ended or closed its input"),
                   {{"program", std::string(program)}});
}

absl::Status Deadline(absl::string_view program, absl::Duration after) {
  return MakeError(absl::StatusCode::kDeadlineExceeded, "PROCESS_DEADLINE",
                   absl::StrCat(program, " did not answer within ", absl::FormatDuration(after)),
                   {{"program", std::string(program)}});
}

absl::Status Cancelled(absl::string_view program) {
  return MakeError(absl::StatusCode::kCancelled, "CANCELLED",
                   absl::StrCat(program, " was stopped on request"),
                   {{"program", std::string(program)}});
}

absl::Status OutputTooLong(absl::string_view program, size_t max_bytes) {
  return MakeError(absl::StatusCode::kResourceExhausted, "PROCESS_OUTPUT_TOO_LONG",
                   absl::StrCat(program, " wrote more than ", max_bytes, " bytes"),
                   {{"program", std::string(program)}});
}

absl::Status NoSuchProcess(int64_t pid) {
  return MakeError(absl::StatusCode::kNotFound, "PROCESS_NOT_FOUND",
                   absl::StrCat("there is no process ", pid), {{"pid", absl::StrCat(pid)}});
}

absl::Status System(absl::string_view call, int64_t code) {
  return MakeError(absl::StatusCode::kInternal, "SYSTEM_CALL_FAILED",
                   absl::StrCat(call, ": ", SystemText(code)),
                   {{"system_error", absl::StrCat(code)}});
}

}  // namespace vmkeep::process::error
