#include "tests/simulation/host_model.h"

#include "common/status_macros.h"
#include "executor/hypervisor/errors.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <utility>

namespace vmkeep::sim {

using executor::MergePhase;
using executor::OverlayDisk;
namespace error = executor::error;

bool VmModel::OnOverlay() const {
  return std::any_of(disks.begin(), disks.end(),
                     [](const DiskModel& d) { return !d.overlay.empty(); });
}

Blocks VmModel::Read(const DiskModel& disk,
                     const std::map<std::string, std::map<int, int64_t>>& overlays) const {
  Blocks seen = disk.base;
  if (disk.overlay.empty()) return seen;
  const auto layer = overlays.find(disk.overlay);
  if (layer == overlays.end()) return {};
  for (const auto& [block, write] : layer->second) seen[block] = write;
  return seen;
}

void HostModel::GuestWrites(VmModel& vm, int disk, int block) {
  if (!up || !vm.on) return;
  DiskModel& to = vm.disks[disk];
  const int64_t write = ++vm.writes;
  if (to.overlay.empty()) {
    to.base[block] = write;
  } else {
    overlays[to.overlay][block] = write;
    if (to.merge && to.merge->ready()) {
      to.base[block] = write;  // a ready merge mirrors
    } else if (to.merge) {
      to.merge->to_copy.insert(block);
    }
  }
  to.written[block] = write;
}

void HostModel::PowerOn(VmModel& vm) {
  if (up && libvirt_up) vm.on = true;
}

void HostModel::PowerOff(VmModel& vm) {
  vm.on = false;
  for (DiskModel& disk : vm.disks) disk.merge.reset();
}

void HostModel::GoDown() {
  up = false;
  ++boot;
  libvirt_up = false;
  for (auto& [uuid, vm] : vms) PowerOff(vm);
}

absl::Status HostModel::HelpMerge(const executor::OverlayDisk& /*disk*/,
                                  const executor::MergeHelp& /*help*/) {
  return Reachable();
}

void HostModel::MoveMerge(const std::string& uuid, const std::string& target) {
  for (DiskModel& disk : vms.at(uuid).disks) {
    if (disk.target != target || !disk.merge || disk.merge->ready()) continue;
    const int block = *disk.merge->to_copy.begin();
    disk.merge->to_copy.erase(block);
    const bool lose = base_.mutant == Mutant::kMergeLosesWrite && block == 3;
    if (!lose) disk.base[block] = overlays[disk.overlay][block];
    base_.time.After(base_.random.Between(absl::Milliseconds(20), absl::Seconds(3)),
                     [this, uuid, target] { MoveMerge(uuid, target); });
  }
}

absl::Status HostModel::Reachable() const {
  return up && libvirt_up ? absl::OkStatus() : error::HypervisorUnavailable("libvirtd is gone");
}

absl::StatusOr<HostModel::Place> HostModel::Find(const OverlayDisk& disk) {
  VMKEEP_RETURN_IF_ERROR(Reachable());
  const auto vm = vms.find(disk.vm_uuid);
  if (vm == vms.end()) return error::VmNotFound(disk.vm_uuid);
  for (DiskModel& each : vm->second.disks) {
    if (each.target == disk.target) return Place{&vm->second, &each};
  }
  return error::VmNotFound(disk.target);
}

absl::StatusOr<std::vector<executor::VmSummary>> HostModel::ListVms() {
  VMKEEP_RETURN_IF_ERROR(Reachable());
  std::vector<executor::VmSummary> all;
  for (const auto& [uuid, vm] : vms) {
    executor::VmSummary summary{
        uuid, vm.name, vm.on ? executor::PowerState::kOn : executor::PowerState::kOff, {}};
    for (const DiskModel& disk : vm.disks) {
      if (disk.overlay.empty()) continue;
      summary.overlays.push_back(
          {uuid, disk.target, absl::StrCat("/vm/", uuid, "-", disk.target), "raw", disk.overlay});
    }
    all.push_back(std::move(summary));
  }
  return all;
}

absl::StatusOr<executor::VmDescription> HostModel::Describe(absl::string_view vm_uuid) {
  VMKEEP_RETURN_IF_ERROR(Reachable());
  const auto found = vms.find(std::string(vm_uuid));
  if (found == vms.end()) return error::VmNotFound(vm_uuid);
  const VmModel& vm = found->second;
  executor::VmDescription description;
  description.uuid = vm.uuid;
  description.name = vm.name;
  description.power = vm.on ? executor::PowerState::kOn : executor::PowerState::kOff;
  description.inactive_xml = vm.definition;
  for (const DiskModel& disk : vm.disks) {
    if (!disk.overlay.empty())
      return error::VmOnOverlay(vm.name, {disk.overlay}, "wait for its merge");
    executor::Disk each;
    each.target = disk.target;
    each.source = absl::StrCat("/vm/", vm.uuid, "-", disk.target);
    each.format = "raw";
    each.virtual_bytes = each.data_bytes = kBlocks;
    description.disks.push_back(std::move(each));
  }
  return description;
}

absl::StatusOr<executor::SnapshotResult> HostModel::Snapshot(const executor::SnapshotPlan& plan) {
  VMKEEP_RETURN_IF_ERROR(Reachable());
  VmModel& vm = vms.at(plan.vm_uuid);
  std::map<std::string, Blocks> now;
  for (const OverlayDisk& disk : plan.disks) {
    VMKEEP_ASSIGN_OR_RETURN(const Place place, Find(disk));
    // libvirt refuses both.
    if (!place.disk->overlay.empty() || overlays.contains(disk.overlay)) {
      return error::VmOnOverlay(vm.name, {disk.overlay}, "in the model's way");
    }
    now[disk.target] = place.disk->written;
  }
  for (const OverlayDisk& disk : plan.disks) {
    Find(disk)->disk->overlay = disk.overlay;
    overlays[disk.overlay] = {};
  }
  watch.taken(executor::OverlayTask(plan.disks.front().overlay), now);
  return executor::SnapshotResult{base_.time.wall(), executor::Consistency::kCrash, ""};
}

absl::Status HostModel::Thaw(absl::string_view) { return Reachable(); }

absl::StatusOr<executor::MergeStatus> HostModel::GetMergeStatus(const OverlayDisk& disk) {
  VMKEEP_ASSIGN_OR_RETURN(const Place at, Find(disk));
  executor::MergeStatus status;
  status.bytes_total = kBlocks;
  if (at.disk->overlay != disk.overlay) {
    status.phase = MergePhase::kMerged;
  } else if (!at.vm->on) {
    status.phase = MergePhase::kOffline;
  } else if (at.disk->merge) {
    status.phase = at.disk->merge->ready() ? MergePhase::kReady : MergePhase::kRunning;
  }
  return status;
}

absl::Status HostModel::StartMerge(const OverlayDisk& disk) {
  VMKEEP_ASSIGN_OR_RETURN(const Place at, Find(disk));
  at.vm->merge_tried = base_.time.now();
  if (at.disk->overlay != disk.overlay || at.disk->merge) return absl::OkStatus();
  if (!at.vm->on) return error::VmBusy(disk.vm_uuid, "off by now");
  at.disk->merge.emplace();
  for (const auto& [block, write] : overlays[disk.overlay]) at.disk->merge->to_copy.insert(block);
  base_.time.After(base_.random.Between(absl::Milliseconds(20), absl::Seconds(3)),
                   [this, uuid = disk.vm_uuid, target = disk.target] { MoveMerge(uuid, target); });
  return absl::OkStatus();
}

absl::Status HostModel::Pivot(const OverlayDisk& disk) {
  VMKEEP_ASSIGN_OR_RETURN(const Place at, Find(disk));
  at.vm->merge_tried = base_.time.now();
  if (at.disk->overlay != disk.overlay) return absl::OkStatus();
  if (!at.disk->merge || !at.disk->merge->ready()) return error::MergeNotReady(disk.target);
  at.disk->merge.reset();
  at.disk->overlay.clear();
  return absl::OkStatus();
}

absl::Status HostModel::CommitOffline(const OverlayDisk& disk) {
  VMKEEP_ASSIGN_OR_RETURN(const Place at, Find(disk));
  at.vm->merge_tried = base_.time.now();
  if (at.disk->overlay != disk.overlay) return absl::OkStatus();
  if (at.vm->on) return error::VmBusy(disk.vm_uuid, "running on the overlay: it is merged live");
  for (const auto& [block, write] : overlays[disk.overlay]) {
    const bool lose = base_.mutant == Mutant::kMergeLosesWrite && block == 3;
    if (!lose) at.disk->base[block] = write;
  }
  return absl::OkStatus();
}

// As LibvirtHypervisor: a definition is put back whether or not the overlay was written to after
// its commit. See MayDefine() in hypervisor/libvirt/restore.cc.
absl::Status HostModel::Restore(const executor::VmDescription& before,
                                const std::vector<OverlayDisk>& disks) {
  VMKEEP_RETURN_IF_ERROR(Reachable());
  const auto found = vms.find(before.uuid);
  if (found == vms.end()) return error::VmNotFound(before.uuid);
  found->second.merge_tried = base_.time.now();
  for (const OverlayDisk& disk : disks) {
    VMKEEP_ASSIGN_OR_RETURN(const Place at, Find(disk));
    if (at.disk->overlay != disk.overlay) continue;
    if (at.vm->on) return error::VmOnOverlay(at.vm->name, {disk.overlay}, "merge it first");
  }
  for (const OverlayDisk& disk : disks) {
    const Place at = *Find(disk);
    if (at.disk->overlay == disk.overlay) at.disk->overlay.clear();
  }
  found->second.definition = before.inactive_xml;
  return absl::OkStatus();
}

absl::Status HostModel::RemoveOverlay(const OverlayDisk& disk) {
  VMKEEP_RETURN_IF_ERROR(Reachable());
  for (const auto& [uuid, vm] : vms) {
    for (const DiskModel& each : vm.disks) {
      if (each.overlay == disk.overlay)
        return error::VmOnOverlay(vm.name, {disk.overlay}, "in use");
    }
  }
  if (overlays.erase(disk.overlay) > 0) watch.unlinked(disk.overlay);
  return absl::OkStatus();
}

absl::StatusOr<std::string> HostModel::RestoreXml(const executor::VmDescription& vm,
                                                  const std::vector<RestoreFile>&) {
  return vm.inactive_xml;
}

}  // namespace vmkeep::sim
