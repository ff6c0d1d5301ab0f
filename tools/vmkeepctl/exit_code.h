#ifndef VMKEEP_TOOLS_VMKEEPCTL_EXIT_CODE_H_
#define VMKEEP_TOOLS_VMKEEPCTL_EXIT_CODE_H_

#include "absl/status/status.h"

#include <array>

namespace vmkeep::ctl {

// What the process ends with. Scripts rely on the numbers: they do not change.
enum ExitCode : int {
  kExitOk = 0,
  // Refused, not found, the backup ended UNRESOURCED under --wait, or a check of doctor failed.
  kExitFailed = 1,
  kExitUsage = 2,          // the command line, or INVALID_ARGUMENT from the controller
  kExitUnreachable = 3,    // no answer: unreachable, stopping, or --timeout ran out
  kExitInterrupted = 130,  // SIGINT or SIGTERM, as a shell counts it
};

struct ExitCodeText {
  ExitCode code;
  const char* meaning;
};
// For help and man page.
inline constexpr std::array kExitCodeTexts = {
    ExitCodeText{kExitOk, "done"},
    ExitCodeText{kExitFailed,
                 "the operation failed: refused, not found, or the backup ended UNRESOURCED under "
                 "--wait; doctor: a check failed"},
    ExitCodeText{kExitUsage, "wrong usage or an invalid argument"},
    ExitCodeText{kExitUnreachable, "the controller could not be reached, or --timeout ran out"},
    ExitCodeText{kExitInterrupted, "interrupted; a backup that was requested goes on"}};

// An UNAVAILABLE that the controller itself answered (it carries another reason) is a failure, not
// an absence.
ExitCode ExitCodeFor(const absl::Status& status);

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_EXIT_CODE_H_
