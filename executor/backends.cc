#include "executor/backends.h"

#include "common/clock.h"
#include "common/status_macros.h"
#include "executor/hypervisor/hyperv/hyperv_hypervisor.h"
#include "executor/task/late_hypervisor.h"

#include <utility>

namespace vmkeep::executor {
namespace {

// Scripts that are not ours are no reason to wait for better ones.
absl::StatusOr<std::unique_ptr<Hypervisor>> OpenHyperV(const Options& options) {
  HyperVOptions hyperv;
  hyperv.runner.interpreter = options.hyperv_interpreter;
  hyperv.runner.scripts = options.hyperv_scripts;
  VMKEEP_RETURN_IF_ERROR(hyperv::CheckScripts(options.hyperv_scripts, hyperv.digests));
  return std::make_unique<LateHypervisor>(
      "hyperv", BackupMethod::kExport, /*simulated=*/false, RealClock(),
      [hyperv = std::move(hyperv)] { return HyperVHypervisor::Open(hyperv); });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Hypervisor>> OpenHypervisor(const Options& options,
                                                           metrics::Registry& metrics) {
  if (options.hypervisor == "hyperv") return OpenHyperV(options);
  return OpenHypervisorOfThisSystem(options, metrics);
}

}  // namespace vmkeep::executor
