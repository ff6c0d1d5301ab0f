// A program with the service's command line, which serves nothing:
//   vmkeep-test-service service install|uninstall|run [--log=FILE] [--fail] [--slow]
//   vmkeep-test-service console     raises ^Break for itself and ends with the stop
// Its log has a line a fact. A failure goes to stderr as "REASON: message", exit 1.
#include "common/clock.h"
#include "common/error.h"
#include "common/win32/text.h"
#include "executor/windows_service/service.h"
#include "executor/windows_service/service_command.h"

// clang-format off
#include <windows.h>
// clang-format on

#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace executor = vmkeep::executor;

void WaitForStop(const std::stop_token& stop) {
  std::mutex mu;
  std::condition_variable_any stopped;
  std::unique_lock lock(mu);
  stopped.wait(lock, stop, [] { return false; });
}

struct Flags {
  std::string log;
  bool fail = false;
  bool slow = false;
};

Flags Read(const std::vector<std::string>& flags) {
  Flags read;
  for (const std::string& one : flags) {
    if (one.starts_with("--log=")) read.log = one.substr(6);
    if (one == "--fail") read.fail = true;
    if (one == "--slow") read.slow = true;
  }
  return read;
}

absl::Status Serve(const std::vector<std::string>& given, const std::stop_token& stop,
                   const std::function<void()>& ready) {
  const Flags flags = Read(given);
  std::ofstream log(flags.log, std::ios::app | std::ios::binary);
  for (const std::string& one : given) log << "flag [" << one << "]\n";
  log << "starting" << std::endl;
  if (flags.fail) return absl::UnavailableError("it was asked to fail");
  // Longer than a checkpoint: a start that takes its time.
  if (flags.slow) vmkeep::RealClock().WaitFor(absl::Seconds(7), {});
  ready();
  log << "serving" << std::endl;
  WaitForStop(stop);
  log << "stopped" << std::endl;
  return absl::OkStatus();
}

absl::Status Obey(const executor::ServiceCommand& command) {
  switch (command.verb) {
    case executor::ServiceCommand::Verb::kInstall:
      return executor::InstallService(command.flags);
    case executor::ServiceCommand::Verb::kUninstall:
      return executor::UninstallService();
    case executor::ServiceCommand::Verb::kRun:
      return executor::RunService([&](std::stop_token stop, std::function<void()> ready) {
        return Serve(command.flags, stop, ready);
      });
  }
  return absl::InternalError("no verb");
}

int Console() {
  // One of our own, so that the event is for nobody else.
  FreeConsole();
  if (!AllocConsole()) return 5;
  const std::stop_token stop = executor::StopOnConsoleEvents();
  if (executor::StopOnConsoleEvents() != stop) return 3;
  if (!GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, 0)) return 4;
  WaitForStop(stop);
  std::puts("stopped");
  return 0;
}

}  // namespace

int main() {
  const std::vector<std::string> args = vmkeep::CommandLineArguments();
  if (args.size() > 1 && args[1] == "console") return Console();
  const auto command = executor::ParseServiceCommand(args);
  const absl::Status status = !command.ok() ? command.status()
                              : *command    ? Obey(**command)
                                            : absl::InvalidArgumentError("service ...");
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s: %s\n", vmkeep::ReasonOrCode(status).c_str(),
               std::string(status.message()).c_str());
  return 1;
}
