#include "common/fault_point/fault_point.h"
#include "common/log.h"
#include "common/version.h"
#include "controller/app.h"
#include "controller/options.h"

#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/str_cat.h"
#include <pthread.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdio>
#include <string>

namespace {

// Blocked before any thread exists, so that all inherit it: the signals come to main() alone, by
// sigwait.
sigset_t BlockStopSignals() {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  return stop;
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "vmkeep-controller: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "owns the backup records of a fleet and drives the executors on its hosts");
  absl::FlagsUsageConfig usage;
  usage.version_string = [] {
    return absl::StrCat("vmkeep-controller ", vmkeep::kVersion, vmkeep::kFaultPointsNote, "\n");
  };
  absl::SetFlagsUsageConfig(usage);
  if (absl::ParseCommandLine(argc, argv).size() > 1) {
    return Fail(absl::InvalidArgumentError("takes flags only; see --help"));
  }
  const auto options = vmkeep::controller::OptionsFromFlags();
  if (!options.ok()) return Fail(options.status());
  vmkeep::log::Init("vmkeep-controller", options->log_level);

  const sigset_t stop = BlockStopSignals();
  umask(0007);  // sockets and files are for the user and the group of the service
  const auto app =
      vmkeep::controller::App::Start(*options, vmkeep::controller::App::RealParts(*options));
  if (!app.ok()) return Fail(app.status());

  int signal = 0;
  sigwait(&stop, &signal);
  vmkeep::log::Info("controller_stopping", {{"signal", signal}});
  (*app)->Stop();
  return 0;
}
