#include "tests/integration/libvirt/backup.h"

#include "common/status_macros.h"
#include "common/uuid.h"
#include "tests/integration/libvirt/lab.h"

#include <cstdio>
#include <cstdlib>

namespace vmkeep::executor::lab {
namespace {

// One look, and the verb that it asks for.
absl::StatusOr<bool> MergedAfterOneStep(Hypervisor& hypervisor, const OverlayDisk& disk) {
  VMKEEP_ASSIGN_OR_RETURN(const MergeStatus status, hypervisor.GetMergeStatus(disk));
  switch (status.phase) {
    case MergePhase::kMerged:
      return true;
    case MergePhase::kNone:
      VMKEEP_RETURN_IF_ERROR(hypervisor.StartMerge(disk));
      break;
    case MergePhase::kReady:
      VMKEEP_RETURN_IF_ERROR(hypervisor.Pivot(disk));
      break;
    case MergePhase::kRunning:
      break;
    case MergePhase::kOffline:
      VMKEEP_RETURN_IF_ERROR(hypervisor.CommitOffline(disk));
      return true;
  }
  return false;
}

}  // namespace

std::unique_ptr<Hypervisor> OpenLibvirt(LibvirtOptions options) {
  absl::StatusOr<std::unique_ptr<Hypervisor>> opened = LibvirtHypervisor::Open(std::move(options));
  if (!opened.ok()) {
    std::fprintf(stderr, "%s\n", opened.status().ToString().c_str());
    std::abort();
  }
  return *std::move(opened);
}

SnapshotPlan PlanFor(const VmDescription& vm, QuiescePolicy quiesce) {
  SnapshotPlan plan{.vm_uuid = vm.uuid, .disks = {}, .untouched = {}, .quiesce = quiesce};
  const std::string task = NewUuid7(absl::Now());
  for (const Disk& disk : vm.disks) {
    plan.disks.push_back({.vm_uuid = vm.uuid,
                          .target = disk.target,
                          .base = disk.source,
                          .base_format = disk.format,
                          .overlay = OverlayPath(disk.source, task)});
  }
  for (const ExcludedDisk& disk : vm.excluded) plan.untouched.push_back(disk.target);
  return plan;
}

absl::Status Merge(Hypervisor& hypervisor, const OverlayDisk& disk) {
  absl::Status last = absl::UnknownError("never ready");
  const bool merged = Eventually(
      [&] {
        const absl::StatusOr<bool> done = MergedAfterOneStep(hypervisor, disk);
        if (!done.ok()) last = done.status();
        return done.ok() && *done;
      },
      absl::Seconds(60));
  return merged ? absl::OkStatus() : last;
}

absl::Status Finish(Hypervisor& hypervisor, const VmDescription& before, const SnapshotPlan& plan) {
  for (const OverlayDisk& disk : plan.disks) VMKEEP_RETURN_IF_ERROR(Merge(hypervisor, disk));
  VMKEEP_RETURN_IF_ERROR(hypervisor.Restore(before, plan.disks));
  for (const OverlayDisk& disk : plan.disks) {
    VMKEEP_RETURN_IF_ERROR(hypervisor.RemoveOverlay(disk));
  }
  return absl::OkStatus();
}

}  // namespace vmkeep::executor::lab
