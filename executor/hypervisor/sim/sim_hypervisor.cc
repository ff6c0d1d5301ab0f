#include "executor/hypervisor/sim/sim_hypervisor.h"

#include "common/fault_point/fault_point.h"
#include "common/fs/files.h"
#include "common/status_macros.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/sim/sim_overlay.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

namespace vmkeep::executor {
namespace {

// A merge is READY when it was looked at so often.
constexpr int kPollsToReady = 3;

// What a merge that is outrun has left, always.
constexpr int64_t kOutrunBytes = 1 << 20;

bool Outrun(const SimDisk& disk) {
  const int given = disk.help.suspended                    ? 3
                    : disk.help.write_bytes_per_second > 0 ? 2
                    : disk.help.full_speed                 ? 1
                                                           : 0;
  return given < disk.outruns;
}

std::vector<std::string> OverlaysOf(const SimVm& vm) {
  std::vector<std::string> files;
  for (const SimDisk& disk : vm.disks) {
    if (!disk.overlay.empty()) files.push_back(disk.overlay);
  }
  return files;
}

int64_t FileBytes(const std::string& path) {
  struct stat found = {};
  return stat(path.c_str(), &found) == 0 ? found.st_size : 0;
}

absl::StatusOr<Disk> DescribeDisk(const SimDisk& disk) {
  const absl::StatusOr<fs::FileInfo> found = fs::GetHostInfo(disk.base);
  if (!found.ok()) {
    return error::HypervisorFailed("look at " + disk.base, "there is no such file");
  }
  Disk described;
  described.target = disk.target;
  described.source = disk.base;
  described.format = disk.format;
  described.virtual_bytes = found->bytes;
  described.data_bytes = found->stored_bytes;
  described.SetIdentity(*found);
  described.uid = found->uid;
  described.gid = found->gid;
  described.mode = found->mode & 07777;
  return described;
}

// All of them, or none is left behind.
absl::Status CreateOverlays(const std::vector<OverlayDisk>& disks) {
  for (size_t i = 0; i < disks.size(); ++i) {
    if (const absl::Status status = CreateOverlay(disks[i].overlay); !status.ok()) {
      while (i > 0) unlink(disks[--i].overlay.c_str());
      return error::HypervisorFailed("snapshot", status.message());
    }
  }
  return absl::OkStatus();
}

// What a running guest does all the time: it writes, here to the last block of each disk, a slot
// after the other. What it saw flushed stands in the file "acked" beside vm.json, "TARGET OFFSET
// TEXT" a line: nothing of it may ever be missing from the disk.
absl::Status WriteAsTheGuest(SimVm& vm) {
  constexpr int64_t kBlock = 4096;
  constexpr int64_t kSlot = 64;
  ++vm.writes;
  for (const SimDisk& disk : vm.disks) {
    const int64_t bytes = FileBytes(disk.base);
    const int64_t at = bytes < kBlock ? 0 : bytes - kBlock + vm.writes % (kBlock / kSlot) * kSlot;
    const std::string text = absl::StrCat("vmkeep-sim write ", vm.writes);
    VMKEEP_RETURN_IF_ERROR(disk.overlay.empty() ? WriteImage(disk.base, at, text + "\n")
                                                : AppendWrite(disk.overlay, at, text + "\n"));
    VMKEEP_RETURN_IF_ERROR(
        AppendLine(vm.folder + "/acked", absl::StrCat(disk.target, " ", at, " ", text)));
  }
  return absl::OkStatus();
}

}  // namespace

SimHypervisor::SimHypervisor(std::string folder) : folder_(std::move(folder)) {}

absl::StatusOr<std::vector<SimVm>> SimHypervisor::LoadAll() {
  std::vector<SimVm> vms;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, failed)) {
    std::error_code absent;
    if (!std::filesystem::exists(entry.path() / "vm.json", absent)) continue;
    VMKEEP_ASSIGN_OR_RETURN(SimVm vm, LoadSimVm(entry.path().string()));
    vms.push_back(std::move(vm));
  }
  if (failed) return error::HypervisorUnavailable(failed.message());
  return vms;
}

absl::StatusOr<SimVm> SimHypervisor::Load(absl::string_view vm_uuid) {
  VMKEEP_ASSIGN_OR_RETURN(std::vector<SimVm> vms, LoadAll());
  for (SimVm& vm : vms) {
    if (vm.uuid == vm_uuid) return std::move(vm);
  }
  return error::VmNotFound(vm_uuid);
}

absl::StatusOr<SimHypervisor::Found> SimHypervisor::Find(const OverlayDisk& disk) {
  Found found;
  VMKEEP_ASSIGN_OR_RETURN(found.vm, Load(disk.vm_uuid));
  SimDisk* here = found.vm.FindDisk(disk.target);
  if (here == nullptr) {
    return error::HypervisorFailed("look at " + disk.target, "the VM has no such disk");
  }
  if (here->overlay.empty()) return found;
  if (here->overlay != disk.overlay) {
    return error::VmOnOverlay(found.vm.name, {here->overlay}, "it is not the overlay asked for");
  }
  // The disks are a vector, whose elements stay where they are when the VM is moved.
  found.disk = here;
  return found;
}

absl::StatusOr<std::vector<VmSummary>> SimHypervisor::ListVms() {
  MutexLock lock(&mu_);
  VMKEEP_ASSIGN_OR_RETURN(const std::vector<SimVm> vms, LoadAll());
  std::vector<VmSummary> list;
  for (const SimVm& vm : vms) {
    VmSummary summary{vm.uuid, vm.name, vm.power, {}};
    for (const SimDisk& disk : vm.disks) {
      if (disk.overlay.empty()) continue;
      summary.overlays.push_back({vm.uuid, disk.target, disk.base, disk.format, disk.overlay});
    }
    list.push_back(std::move(summary));
  }
  return list;
}

void SimHypervisor::OnChange(std::function<void()> changed) {
  MutexLock lock(&mu_);
  changed_ = std::move(changed);
}

absl::StatusOr<VmDescription> SimHypervisor::Describe(absl::string_view vm_uuid) {
  MutexLock lock(&mu_);
  VMKEEP_ASSIGN_OR_RETURN(const SimVm vm, Load(vm_uuid));
  if (const auto files = OverlaysOf(vm); !files.empty()) {
    return error::VmOnOverlay(vm.name, files, "the executor merges them by itself: wait for it");
  }
  VmDescription description;
  description.uuid = vm.uuid;
  description.name = vm.name;
  description.power = vm.power;
  for (const SimDisk& disk : vm.disks) {
    VMKEEP_ASSIGN_OR_RETURN(Disk described, DescribeDisk(disk));
    description.disks.push_back(std::move(described));
  }
  if (vm.power != PowerState::kOff) description.live_xml = SimXml(vm, /*live=*/true);
  description.inactive_xml = SimXml(vm, /*live=*/false);
  return description;
}

absl::StatusOr<SnapshotResult> SimHypervisor::Snapshot(const SnapshotPlan& plan) {
  MutexLock lock(&mu_);
  VMKEEP_ASSIGN_OR_RETURN(SimVm vm, Load(plan.vm_uuid));
  for (const OverlayDisk& disk : plan.disks) {
    const SimDisk* here = vm.FindDisk(disk.target);
    if (here == nullptr || here->base != disk.base || !here->overlay.empty()) {
      return error::HypervisorFailed("snapshot", absl::StrCat("disk ", disk.target, " is another"));
    }
  }
  const bool runs = vm.power == PowerState::kOn;
  const bool freeze = plan.quiesce != QuiescePolicy::kNever && runs && vm.guest_agent;
  if (plan.quiesce == QuiescePolicy::kRequired && runs && !vm.guest_agent) {
    return error::QuiesceFailed(vm.name, "it has no guest agent (simulated)");
  }
  vm.frozen = freeze;
  if (freeze) VMKEEP_RETURN_IF_ERROR(SaveSimVm(vm));
  CrashPoint("sim.snapshot.frozen");
  absl::Status taken = CreateOverlays(plan.disks);
  CrashPoint("sim.snapshot.overlays-made");
  const absl::Time instant = absl::Now();
  if (taken.ok()) {
    for (const OverlayDisk& disk : plan.disks) vm.FindDisk(disk.target)->overlay = disk.overlay;
  }
  vm.frozen = false;
  VMKEEP_RETURN_IF_ERROR(SaveSimVm(vm));
  VMKEEP_RETURN_IF_ERROR(taken);
  if (runs) {
    VMKEEP_RETURN_IF_ERROR(WriteAsTheGuest(vm));
    VMKEEP_RETURN_IF_ERROR(SaveSimVm(vm));
  }
  return SnapshotResult{instant, freeze ? Consistency::kFilesystem : Consistency::kCrash,
                        freeze  ? "frozen and thawed (simulated)"
                        : !runs ? "the VM does not run (simulated)"
                                : "not frozen: not asked for, or no guest agent (simulated)"};
}

absl::Status SimHypervisor::Thaw(absl::string_view vm_uuid) {
  MutexLock lock(&mu_);
  absl::StatusOr<SimVm> vm = Load(vm_uuid);
  if (absl::IsNotFound(vm.status())) return absl::OkStatus();
  VMKEEP_RETURN_IF_ERROR(vm.status());
  if (!vm->frozen) return absl::OkStatus();
  vm->frozen = false;
  return SaveSimVm(*vm);
}

absl::StatusOr<MergeStatus> SimHypervisor::GetMergeStatus(const OverlayDisk& disk) {
  MutexLock lock(&mu_);
  VMKEEP_ASSIGN_OR_RETURN(Found found, Find(disk));
  if (found.disk == nullptr) return MergeStatus{.phase = MergePhase::kMerged};
  if (found.vm.power == PowerState::kOff) return MergeStatus{.phase = MergePhase::kOffline};
  MergeStatus status{.bytes_total = FileBytes(disk.overlay)};
  if (found.disk->merge_polls < 0) return status;
  if (Outrun(*found.disk)) {
    // Like a guest that rewrites the same blocks: all grows, and what is left stays.
    status.phase = MergePhase::kRunning;
    status.bytes_done = ++found.disk->merge_polls * kOutrunBytes;
    status.bytes_total = status.bytes_done + kOutrunBytes;
    VMKEEP_RETURN_IF_ERROR(SaveSimVm(found.vm));
    return status;
  }
  found.disk->merge_polls = std::min(found.disk->merge_polls + 1, kPollsToReady);
  VMKEEP_RETURN_IF_ERROR(SaveSimVm(found.vm));
  status.phase =
      found.disk->merge_polls == kPollsToReady ? MergePhase::kReady : MergePhase::kRunning;
  status.bytes_done = status.bytes_total * found.disk->merge_polls / kPollsToReady;
  return status;
}

absl::Status SimHypervisor::StartMerge(const OverlayDisk& disk) {
  MutexLock lock(&mu_);
  VMKEEP_ASSIGN_OR_RETURN(Found found, Find(disk));
  if (found.disk == nullptr || found.disk->merge_polls >= 0) return absl::OkStatus();
  if (found.vm.power == PowerState::kOff) return error::MergeFailed(disk.target, "the VM is off");
  found.disk->merge_polls = 0;
  VMKEEP_RETURN_IF_ERROR(WriteAsTheGuest(found.vm));
  return SaveSimVm(found.vm);
}

absl::Status SimHypervisor::Pivot(const OverlayDisk& disk) {
  MutexLock lock(&mu_);
  VMKEEP_ASSIGN_OR_RETURN(Found found, Find(disk));
  if (found.disk == nullptr) return absl::OkStatus();
  if (found.disk->merge_polls < kPollsToReady) return error::MergeNotReady(disk.target);
  VMKEEP_RETURN_IF_ERROR(ApplyOverlay(disk.overlay, found.disk->base));
  found.disk->overlay.clear();
  found.disk->merge_polls = -1;
  return SaveSimVm(found.vm);
}

absl::Status SimHypervisor::HelpMerge(const OverlayDisk& disk, const MergeHelp& help) {
  MutexLock lock(&mu_);
  absl::StatusOr<SimVm> vm = Load(disk.vm_uuid);
  if (absl::IsNotFound(vm.status())) return absl::OkStatus();
  VMKEEP_RETURN_IF_ERROR(vm.status());
  SimDisk* here = vm->FindDisk(disk.target);
  if (here == nullptr || vm->power == PowerState::kOff || here->help == help) {
    return absl::OkStatus();
  }
  here->help = help;
  return SaveSimVm(*vm);
}

absl::Status SimHypervisor::CommitOffline(const OverlayDisk& disk) {
  MutexLock lock(&mu_);
  VMKEEP_ASSIGN_OR_RETURN(const Found found, Find(disk));
  if (found.disk == nullptr) return absl::OkStatus();
  if (found.vm.power != PowerState::kOff) return error::MergeFailed(disk.target, "the VM runs");
  return ApplyOverlay(disk.overlay, found.disk->base);
}

absl::Status SimHypervisor::Restore(const VmDescription& before,
                                    const std::vector<OverlayDisk>& disks) {
  MutexLock lock(&mu_);
  VMKEEP_ASSIGN_OR_RETURN(SimVm vm, Load(before.uuid));
  for (const OverlayDisk& disk : disks) {
    SimDisk* here = vm.FindDisk(disk.target);
    if (here == nullptr || here->overlay.empty()) continue;
    // The definition of a VM that is off may be put back once the base has all that was written.
    bool applied = vm.power == PowerState::kOff;
    if (applied) {
      VMKEEP_ASSIGN_OR_RETURN(applied, IsApplied(here->overlay, here->base));
    }
    if (!applied) {
      return error::VmOnOverlay(vm.name, {here->overlay}, "merge it before its definition");
    }
    here->overlay.clear();
  }
  if (SimXml(vm, /*live=*/false) != before.inactive_xml) {
    return error::VmOnOverlay(vm.name, OverlaysOf(vm),
                              "its definition is not as it was before the backup: compare it with "
                              "domain-inactive.xml");
  }
  return SaveSimVm(vm);
}

absl::Status SimHypervisor::RemoveOverlay(const OverlayDisk& disk) {
  MutexLock lock(&mu_);
  VMKEEP_ASSIGN_OR_RETURN(const std::vector<SimVm> vms, LoadAll());
  for (const SimVm& vm : vms) {
    for (const std::string& file : OverlaysOf(vm)) {
      if (file == disk.overlay) return error::VmOnOverlay(vm.name, {file}, "merge it first");
    }
  }
  if (unlink(disk.overlay.c_str()) != 0 && errno != ENOENT) {
    return absl::ErrnoToStatus(errno, "unlink " + disk.overlay);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> SimHypervisor::RestoreXml(const VmDescription& vm,
                                                      const std::vector<RestoreFile>& files) {
  SimVm described;
  described.uuid = vm.uuid;
  described.name = vm.name;
  return SimXml(described, files);
}

absl::Status SimHypervisor::SetPower(absl::string_view vm_uuid, PowerState power) {
  std::function<void()> changed;
  {
    MutexLock lock(&mu_);
    VMKEEP_ASSIGN_OR_RETURN(SimVm vm, Load(vm_uuid));
    vm.power = power;
    // A merge lives in the VM's process.
    if (power == PowerState::kOff) {
      for (SimDisk& disk : vm.disks) {
        disk.merge_polls = -1;
        disk.help = {};
      }
    }
    VMKEEP_RETURN_IF_ERROR(SaveSimVm(vm));
    changed = changed_;
  }
  if (changed) changed();
  return absl::OkStatus();
}

absl::Status SimHypervisor::SetOutruns(absl::string_view vm_uuid, absl::string_view target,
                                       int outruns) {
  MutexLock lock(&mu_);
  VMKEEP_ASSIGN_OR_RETURN(SimVm vm, Load(vm_uuid));
  SimDisk* disk = vm.FindDisk(target);
  if (disk == nullptr) return error::HypervisorFailed("outrun", "no such disk");
  disk->outruns = outruns;
  return SaveSimVm(vm);
}

absl::StatusOr<MergeHelp> SimHypervisor::HelpOf(absl::string_view vm_uuid,
                                                absl::string_view target) {
  MutexLock lock(&mu_);
  VMKEEP_ASSIGN_OR_RETURN(SimVm vm, Load(vm_uuid));
  const SimDisk* disk = vm.FindDisk(target);
  if (disk == nullptr) return error::HypervisorFailed("help", "no such disk");
  return disk->help;
}

absl::Status SimHypervisor::GuestWrite(absl::string_view vm_uuid, absl::string_view target,
                                       int64_t offset, absl::string_view bytes) {
  MutexLock lock(&mu_);
  VMKEEP_ASSIGN_OR_RETURN(SimVm vm, Load(vm_uuid));
  const SimDisk* disk = vm.FindDisk(target);
  if (disk == nullptr || vm.power != PowerState::kOn) {
    return error::HypervisorFailed("write", "no such disk, or the VM does not run");
  }
  return disk->overlay.empty() ? WriteImage(disk->base, offset, bytes)
                               : AppendWrite(disk->overlay, offset, bytes);
}

}  // namespace vmkeep::executor
