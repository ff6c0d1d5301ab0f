#ifndef VMKEEP_EXECUTOR_HYPERVISOR_SIM_SIM_VM_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_SIM_SIM_VM_H_

#include "executor/hypervisor/hypervisor.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <cstdint>
#include <string>
#include <vector>

namespace vmkeep::executor {

// A simulated disk: its image, and the overlay that takes the guest's writes.
struct SimDisk {
  std::string target;
  std::string format;  // as declared; the bytes are the test's affair
  std::string base;
  std::string overlay;   // empty: the VM is on its base
  int merge_polls = -1;  // how often a merge under way was looked at; -1: there is none
  // How much help a merge needs, since the guest outruns it: 0 none, 1 full speed, 2 a limit on the
  // guest's writes, 3 a suspended guest, 4 nothing helps.
  int outruns = 0;
  MergeHelp help = {};  // that it has now; like a merge, it ends with the VM's process
};

// A simulated VM: the file vm.json in a folder of its own, which outlives any process.
struct SimVm {
  std::string folder;
  std::string uuid;
  std::string name;
  PowerState power = PowerState::kOn;
  bool guest_agent = true;
  bool frozen = false;
  int64_t writes = 0;  // that the guest made by itself
  std::vector<SimDisk> disks;

  SimDisk* FindDisk(absl::string_view target);
};

// Reads `folder`/vm.json.
absl::StatusOr<SimVm> LoadSimVm(const std::string& folder);
// Replaces it at once: a reader finds the old or the new file, also after a kill.
absl::Status SaveSimVm(const SimVm& vm);

// The definition of the VM with its disks where they are now, or in the files named.
std::string SimXml(const SimVm& vm, bool live);
std::string SimXml(const SimVm& vm, const std::vector<Hypervisor::RestoreFile>& files);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_SIM_SIM_VM_H_
