#ifndef VMKEEP_TESTS_INTEGRATION_LIBVIRT_BACKUP_H_
#define VMKEEP_TESTS_INTEGRATION_LIBVIRT_BACKUP_H_

#include "executor/hypervisor/libvirt/libvirt_hypervisor.h"

#include "absl/status/status.h"

#include <memory>
#include <string>
#include <vector>

namespace vmkeep::executor::lab {

// Ends the test program when libvirt cannot be opened.
std::unique_ptr<Hypervisor> OpenLibvirt(LibvirtOptions options = {});

// The snapshot that a task would ask for.
SnapshotPlan PlanFor(const VmDescription& vm, QuiescePolicy quiesce = QuiescePolicy::kNever);

// Asks until the disk is merged, starting and ending the merge as a task does, also while libvirt
// is away. The last error when that is not reached in 60 s.
absl::Status Merge(Hypervisor& hypervisor, const OverlayDisk& disk);

// Merge, Restore and RemoveOverlay for all of the plan.
absl::Status Finish(Hypervisor& hypervisor, const VmDescription& before, const SnapshotPlan& plan);

}  // namespace vmkeep::executor::lab

#endif  // VMKEEP_TESTS_INTEGRATION_LIBVIRT_BACKUP_H_
