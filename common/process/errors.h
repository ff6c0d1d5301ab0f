#ifndef VMKEEP_COMMON_PROCESS_ERRORS_H_
#define VMKEEP_COMMON_PROCESS_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <cstdint>
#include <string>

namespace vmkeep::process::error {

// `code`: an errno, or what GetLastError() said.
absl::Status NotStarted(absl::string_view program, int64_t code);  // kFailedPrecondition
absl::Status NotStarted(absl::string_view program, absl::string_view why, int64_t code);
absl::Status Gone(absl::string_view program);  // kUnavailable: it reads no more
absl::Status Deadline(absl::string_view program, absl::Duration after);   // kDeadlineExceeded
absl::Status Cancelled(absl::string_view program);                        // kCancelled
absl::Status OutputTooLong(absl::string_view program, size_t max_bytes);  // kResourceExhausted
absl::Status NoSuchProcess(int64_t pid);                                  // kNotFound
absl::Status System(absl::string_view call, int64_t code);  // kInternal: the kernel refused

// A code of this system in words that are not localised: of process_posix.cc and process_win32.cc.
std::string SystemText(int64_t code);

}  // namespace vmkeep::process::error

#endif  // VMKEEP_COMMON_PROCESS_ERRORS_H_
