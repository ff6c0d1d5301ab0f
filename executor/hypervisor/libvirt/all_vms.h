#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_ALL_VMS_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_ALL_VMS_H_

#include "executor/hypervisor/libvirt/connection.h"
#include "executor/hypervisor/libvirt/vm_look.h"

#include "absl/status/status.h"

#include <functional>

namespace vmkeep::executor::libvirt {

// Looks at every VM of the host, one after the other; ends at the first error of `visit`. VMs that
// vanish meanwhile are left out. Runs inside of Connection::Call().
absl::Status ForEachVm(const Access& access, bool secure,
                       const std::function<absl::Status(const VmLook&)>& visit);

}  // namespace vmkeep::executor::libvirt

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_ALL_VMS_H_
