#include "common/clock.h"
#include "common/host/state_folder.h"
#include "common/status_macros.h"
#include "executor/backends.h"
#include "executor/hypervisor/libvirt/libvirt_hypervisor.h"
#include "executor/hypervisor/sim/sim_hypervisor.h"
#include "executor/hypervisor/sim/sim_setup.h"
#include "executor/metrics/families.h"
#include "executor/task/late_hypervisor.h"

#include <vector>

namespace vmkeep::executor {
namespace {

absl::StatusOr<std::unique_ptr<Hypervisor>> OpenSim(const Options& options) {
  VMKEEP_RETURN_IF_ERROR(host::MakeStateFolder(options.sim_dir));
  VMKEEP_ASSIGN_OR_RETURN(const std::vector<SimVmSpec> vms, ParseSimVms(options.sim_vms));
  for (const SimVmSpec& vm : vms) VMKEEP_RETURN_IF_ERROR(CreateSimVm(options.sim_dir, vm));
  return std::make_unique<SimHypervisor>(options.sim_dir);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Hypervisor>> OpenHypervisorOfThisSystem(const Options& options,
                                                                       metrics::Registry& metrics) {
  if (options.hypervisor == "sim") return OpenSim(options);
  return std::make_unique<LateHypervisor>(
      "libvirt", BackupMethod::kOverlays, /*simulated=*/false, RealClock(),
      [uri = options.libvirt_uri, allowed = options.apparmor_allowed, &metrics] {
        return LibvirtHypervisor::Open(
            {.uri = uri,
             .on_connected = [&metrics] { metrics.Count(family::kHypervisorConnections, {}); },
             .apparmor_allowed = allowed});
      });
}

}  // namespace vmkeep::executor
