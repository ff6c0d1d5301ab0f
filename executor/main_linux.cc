#include "common/log.h"
#include "common/version.h"
#include "executor/app.h"
#include "executor/options.h"

#include <pthread.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>

namespace {

// Blocks the signals that end us: every thread started later inherits that, and main() waits for
// them.
sigset_t BlockEndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signals;
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "vmkeep-executor: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const absl::StatusOr<vmkeep::executor::Options> options =
      vmkeep::executor::ParseOptions(argc, argv);
  if (!options.ok()) return Fail(options.status());
  if (const absl::Status log = vmkeep::executor::InitLog(*options); !log.ok()) return Fail(log);
  umask(0077);  // journal, socket and overlays are nobody else's
  const sigset_t signals = BlockEndSignals();

  absl::StatusOr<std::unique_ptr<vmkeep::executor::App>> app =
      vmkeep::executor::App::Start(*options);
  if (!app.ok()) return Fail(app.status());

  int signal = 0;
  sigwait(&signals, &signal);
  vmkeep::log::Info("stopping", {{"signal", signal}, {"version", vmkeep::kVersion}});
  (*app)->Drain();
  return 0;
}
