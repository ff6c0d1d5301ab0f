#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_COMMIT_COMMAND_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_COMMIT_COMMAND_H_

#include "executor/hypervisor/hypervisor.h"

#include "absl/status/status.h"

#include <string>
#include <vector>

namespace vmkeep::executor::libvirt {

// The arguments of `qemu-img commit` for an overlay: every format named, so that nothing is probed.
std::vector<std::string> CommitArguments(const std::string& qemu_img, const OverlayDisk& disk);

// FAILED_PRECONDITION unless the overlay's header names exactly this base, and the base stands for
// itself.
absl::Status CheckCommittable(const OverlayDisk& disk);

}  // namespace vmkeep::executor::libvirt

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_COMMIT_COMMAND_H_
