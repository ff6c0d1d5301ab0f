#ifndef VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_SCRIPT_RUNNER_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_SCRIPT_RUNNER_H_

#include "executor/hypervisor/hyperv/error_map.h"
#include "vmkeep/hyperv/v1/script.pb.h"

#include "absl/status/status.h"
#include "absl/time/time.h"

#include <functional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::executor::hyperv {

struct RunnerOptions {
  std::string interpreter;  // of PowerShell, absolute
  std::string scripts;      // the folder of the scripts, absolute
  // Until the script's first line: a PowerShell takes seconds on a host under load.
  absl::Duration start_deadline = absl::Seconds(60);
  // From the cancel to the kill: export-vm.ps1 gives a job 10 s to stop.
  absl::Duration cancel_grace = absl::Seconds(15);
  // From the last line to the exit.
  absl::Duration exit_grace = absl::Seconds(10);
  std::vector<std::pair<std::string, std::string>> environment = {};  // added to ours
};

// For how long a run may go on; past that it is killed: DEADLINE_EXCEEDED, SCRIPT_DEADLINE.
struct RunLimits {
  absl::Duration deadline = absl::InfiniteDuration();  // from its start to its last line
  absl::Duration silence = absl::InfiniteDuration();   // between two lines
};

// How a run is ended early.
struct Stops {
  std::stop_token cancel;   // asked to, by a line; then `cancelled`, or the kill after the grace
  std::stop_token abandon;  // killed at once
};

// Runs one of the scripts in a process of its own. Thread-safe.
class ScriptRunner {
 public:
  explicit ScriptRunner(RunnerOptions options) : options_(std::move(options)) {}
  const RunnerOptions& options() const { return options_; }

  // Called in the thread of Run() for each line of the script, `hello` and the ending included;
  // must not block.
  using OnLine = std::function<void(const wire::Line&)>;

  // The script of the request, from its start to its end: Protocol::Verdict(), or the error of its
  // start, or of a limit, or SCRIPT_NOT_CANCELLED, or, abandoned, CANCELLED. No process of it is
  // left then, but what it asked of Hyper-V may go on.
  absl::Status Run(const wire::Request& request, const ScriptContext& context,
                   const RunLimits& limits, const Stops& stops, const OnLine& on_line) const;

 private:
  const RunnerOptions options_;
};

}  // namespace vmkeep::executor::hyperv

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_SCRIPT_RUNNER_H_
