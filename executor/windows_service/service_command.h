#ifndef VMKEEP_EXECUTOR_WINDOWS_SERVICE_SERVICE_COMMAND_H_
#define VMKEEP_EXECUTOR_WINDOWS_SERVICE_SERVICE_COMMAND_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <optional>
#include <string>
#include <vector>

// `vmkeep-executor.exe service ...`, as text. Pure.
namespace vmkeep::executor {

// What `service ...` on the command line asks.
struct ServiceCommand {
  enum class Verb { kInstall, kUninstall, kRun };
  Verb verb = Verb::kRun;
  std::vector<std::string> flags = {};  // of the executor, for kInstall and kRun
};

// `argv` with the program first; nullopt when it does not begin with `service`: console mode.
// INVALID_ARGUMENT for a verb that there is not, or for flags after `uninstall`.
absl::StatusOr<std::optional<ServiceCommand>> ParseServiceCommand(
    const std::vector<std::string>& argv);

// The command line that Windows starts the service with: `"<program>" service run <flags>`, quoted
// so that each flag arrives as it is. `program` is absolute. INVALID_ARGUMENT for what cannot be
// written so.
absl::StatusOr<std::string> ServiceCommandLine(const std::string& program,
                                               const std::vector<std::string>& flags);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_WINDOWS_SERVICE_SERVICE_COMMAND_H_
