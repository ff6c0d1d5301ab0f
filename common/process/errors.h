#ifndef VMKEEP_COMMON_PROCESS_ERRORS_H_
#define VMKEEP_COMMON_PROCESS_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <string>

namespace vmkeep::process::error {

absl::Status NotStarted(absl::string_view program, int err);  // kFailedPrecondition
absl::Status Gone(absl::string_view program);                 // kUnavailable: it reads no more
absl::Status Deadline(absl::string_view program, absl::Duration after);   // kDeadlineExceeded
absl::Status Cancelled(absl::string_view program);                        // kCancelled
absl::Status OutputTooLong(absl::string_view program, size_t max_bytes);  // kResourceExhausted
absl::Status NoSuchProcess(int pid);                                      // kNotFound
absl::Status System(absl::string_view call, int err);  // kInternal: the kernel refused

}  // namespace vmkeep::process::error

#endif  // VMKEEP_COMMON_PROCESS_ERRORS_H_
