#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_BOUNDED_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_BOUNDED_H_

#include "absl/time/time.h"

#include <functional>

namespace vmkeep::executor::libvirt {

// Runs `work` on a thread of its own and waits for it, `timeout` at the most. False when it is not
// done by then (it runs on and owns what it captured), or when so many of those hang that no more
// are started: then it does not run.
bool RunBounded(std::function<void()> work, absl::Duration timeout);

}  // namespace vmkeep::executor::libvirt

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_BOUNDED_H_
