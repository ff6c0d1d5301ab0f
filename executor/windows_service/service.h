#ifndef VMKEEP_EXECUTOR_WINDOWS_SERVICE_SERVICE_H_
#define VMKEEP_EXECUTOR_WINDOWS_SERVICE_SERVICE_H_

#include "executor/windows_service/service_command.h"

#include "absl/status/status.h"

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

// The executor as the Windows service "vmkeep-executor"; docs/adr/0076.
namespace vmkeep::executor {

// Registers this program: starts a while after the machine does, as LocalSystem; started again 10 s
// after it ended with an error. It is not started here. Flags name absolute paths: a service begins
// in another folder. ALREADY_EXISTS, PERMISSION_DENIED.
absl::Status InstallService(const std::vector<std::string>& flags);

// Stops it, waits for its end, removes it. NOT_FOUND, PERMISSION_DENIED; DEADLINE_EXCEEDED when it
// does not stop: it is installed then as it was.
absl::Status UninstallService();

// Calls `serve` in the service's context, in another thread, and returns what it returned once the
// service has ended. `stop` is requested by the controls Stop, Preshutdown and Shutdown; `serve`
// calls `ready` once it serves: until then Windows is told "starting", for five minutes at the
// most, and likewise "stopping". An error becomes the service's specific exit code, the number of
// the status code, and Windows starts it again. FAILED_PRECONDITION, NOT_A_SERVICE, when Windows
// did not start us as one. Once in a process.
absl::Status RunService(
    const std::function<absl::Status(std::stop_token stop, std::function<void()> ready)>& serve);

// For a console: ^C, ^Break, the closed window and the end of the session request the stop. After
// the last two Windows gives us some seconds, no more. The same token at every call.
std::stop_token StopOnConsoleEvents();

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_WINDOWS_SERVICE_SERVICE_H_
