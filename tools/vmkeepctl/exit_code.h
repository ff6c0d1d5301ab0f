#ifndef VMKEEP_TOOLS_VMKEEPCTL_EXIT_CODE_H_
#define VMKEEP_TOOLS_VMKEEPCTL_EXIT_CODE_H_

#include "absl/status/status.h"

namespace vmkeep::ctl {

// What the process ends with. Scripts rely on the numbers: they do not change.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,         // refused, not found, or the backup ended UNRESOURCED under --wait
  kExitUsage = 2,          // the command line, or INVALID_ARGUMENT from the controller
  kExitUnreachable = 3,    // no answer: unreachable, stopping, or --timeout ran out
  kExitInterrupted = 130,  // SIGINT or SIGTERM, as a shell counts it
};

inline constexpr char kExitCodeHelp[] =
    "Exit codes:\n"
    "  0    done\n"
    "  1    the operation failed: refused, not found, or the backup ended UNRESOURCED under "
    "--wait\n"
    "  2    wrong usage or an invalid argument\n"
    "  3    the controller could not be reached, or --timeout ran out\n"
    "  130  interrupted; a backup that was requested goes on\n";

// An UNAVAILABLE that the controller itself answered (it carries another reason) is a failure, not
// an absence.
ExitCode ExitCodeFor(const absl::Status& status);

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_EXIT_CODE_H_
