#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_COMMIT_COMMAND_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_COMMIT_COMMAND_H_

#include "executor/hypervisor/hypervisor.h"

#include "absl/status/statusor.h"

#include <string>
#include <vector>

namespace vmkeep::executor::libvirt {

// The arguments of `qemu-img commit` for an overlay of a base that InspectImage() looked at: every
// image of the chain named with its format, so that nothing is probed.
std::vector<std::string> CommitArguments(const std::string& qemu_img, const std::string& overlay,
                                         const Disk& base);

// The arguments of `qemu-img compare` of the overlay, over all below it, with its base.
std::vector<std::string> CompareArguments(const std::string& qemu_img, const std::string& overlay,
                                          const Disk& base);

// The base with all below it. FAILED_PRECONDITION unless the overlay's header names exactly this
// base, and the base is sound.
absl::StatusOr<Disk> CommittableBase(const OverlayDisk& disk);

}  // namespace vmkeep::executor::libvirt

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_COMMIT_COMMAND_H_
