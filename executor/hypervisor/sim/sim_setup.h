#ifndef VMKEEP_EXECUTOR_HYPERVISOR_SIM_SIM_SETUP_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_SIM_SIM_SETUP_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <cstdint>
#include <string>
#include <vector>

namespace vmkeep::executor {

// A VM to make: "web-1:2:64MiB" is web-1 with two disks of 64 MiB.
struct SimVmSpec {
  std::string name;  // any text
  int disks = 1;
  int64_t disk_bytes = 0;
};

// A list with commas. INVALID_ARGUMENT says what is wrong with which entry.
absl::StatusOr<std::vector<SimVmSpec>> ParseSimVms(absl::string_view list);

// The UUID of the VM of this name: the same in every run and on every host.
std::string SimVmUuid(absl::string_view name);

// Makes the VM below `folder` unless it is there: running, with sparse raw disks whose content
// follows from the name.
absl::Status CreateSimVm(const std::string& folder, const SimVmSpec& spec);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_SIM_SIM_SETUP_H_
