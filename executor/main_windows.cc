// vmkeep-executor.exe: `vmkeep-executor service install|uninstall|run [flags...]`, or flags alone
// on a console, until Ctrl-C.
#include "common/fs/files.h"
#include "common/host/state_folder.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/version.h"
#include "common/win32/text.h"
#include "executor/app.h"
#include "executor/options.h"
#include "executor/windows_service/service.h"

#include <condition_variable>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace vmkeep::executor {
namespace {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "vmkeep-executor: %s\n", std::string(status.message()).c_str());
  return 1;
}

absl::StatusOr<Options> Parse(std::vector<std::string> arguments) {
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  const int count = static_cast<int>(pointers.size());
  pointers.push_back(nullptr);
  return ParseOptions(count, pointers.data());
}

void WaitFor(const std::stop_token& stop) {
  std::mutex mu;
  std::condition_variable_any stopped;
  std::unique_lock lock(mu);
  stopped.wait(lock, stop, [] { return false; });
}

// Serves until the stop; `ready` is told when it does.
absl::Status Serve(const Options& options, const std::stop_token& stop,
                   const std::function<void()>& ready) {
  VMKEEP_ASSIGN_OR_RETURN(const std::unique_ptr<App> app, App::Start(options));
  ready();
  WaitFor(stop);
  log::Info("stopping", {{"version", kVersion}});
  app->Drain();
  return absl::OkStatus();
}

absl::Status RunAsService(Options options) {
  if (options.log_file.empty()) {  // nobody reads a service's stderr
    VMKEEP_RETURN_IF_ERROR(host::MakeStateFolder(options.state_dir));
    options.log_file = fs::Join(options.state_dir, "executor.log");
  }
  VMKEEP_RETURN_IF_ERROR(InitLog(options));
  return RunService([&options](const std::stop_token& stop, const std::function<void()>& ready) {
    const absl::Status status = Serve(options, stop, ready);
    if (!status.ok()) log::Error("not_serving", {{"error", status.message()}});
    return status;
  });
}

absl::Status Run(const std::vector<std::string>& arguments) {
  VMKEEP_ASSIGN_OR_RETURN(const std::optional<ServiceCommand> service,
                          ParseServiceCommand(arguments));
  if (service && service->verb == ServiceCommand::Verb::kUninstall) return UninstallService();
  std::vector<std::string> flags = {arguments[0]};
  if (service) {
    flags.insert(flags.end(), service->flags.begin(), service->flags.end());
  } else {
    flags = arguments;
  }
  // Of an install too: a flag that cannot be is said here, not in a log after the next boot.
  VMKEEP_ASSIGN_OR_RETURN(const Options options, Parse(flags));
  if (service && service->verb == ServiceCommand::Verb::kInstall)
    return InstallService(service->flags);
  if (service) return RunAsService(options);
  VMKEEP_RETURN_IF_ERROR(InitLog(options));
  return Serve(options, StopOnConsoleEvents(), [] {});
}

}  // namespace
}  // namespace vmkeep::executor

int main() {
  const absl::Status status = vmkeep::executor::Run(vmkeep::CommandLineArguments());
  return status.ok() ? 0 : vmkeep::executor::Fail(status);
}
