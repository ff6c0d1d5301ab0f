#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_LIBVIRT_ERROR_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_LIBVIRT_ERROR_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace vmkeep::executor::libvirt {

// What libvirt's last call on this thread failed with, as an error of hypervisor/errors.h with the
// metadata libvirt_code and libvirt_domain. libvirt keeps the error per thread: call at once. `vm`:
// what the call was about, for VM_NOT_FOUND.
absl::Status LibvirtError(absl::string_view while_doing, absl::string_view vm = {});

// The code (VIR_ERR_...) of such an error; 0 when it is none.
int LibvirtCode(const absl::Status& status);

// Whether the guest's agent is what failed, and not the hypervisor.
bool IsAgentError(const absl::Status& status);

}  // namespace vmkeep::executor::libvirt

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_LIBVIRT_ERROR_H_
