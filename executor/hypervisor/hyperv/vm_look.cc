#include "executor/hypervisor/hyperv/vm_look.h"

#include "common/status_macros.h"
#include "common/uuid.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/file_name.h"
#include "executor/hypervisor/hyperv/errors.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace vmkeep::executor::hyperv {
namespace {

// VMOperationalStatus of a VM that Hyper-V is working on. The list is as documented for the module;
// which of them a host really shows is [open].
constexpr std::array<absl::string_view, 13> kBusy = {"ApplyingSnapshot",
                                                     "BackingUpVirtualMachine",
                                                     "CheckingCompatibility",
                                                     "CreatingSnapshot",
                                                     "DeletingSnapshot",
                                                     "ExportingVirtualMachine",
                                                     "MergingDisks",
                                                     "MigratingPlannedVm",
                                                     "MigratingVirtualMachine",
                                                     "ModifyingUpVirtualMachine",
                                                     "StorageMigrationPhaseOne",
                                                     "StorageMigrationPhaseTwo",
                                                     "WaitingToStart"};

std::string TargetOf(const wire::Disk& disk) {
  return absl::StrCat(disk.controller(), disk.controller_number(), "x", disk.controller_location());
}

// Why the image cannot be exported, with the remedy; empty when it can.
std::string RefusalOfImage(const std::string& path) {
  if (!IsAbsolutePath(path)) return "has no absolute path: detach it, and attach it by its path";
  if (FormatOf(path).empty()) {
    return "is neither a .vhdx nor a .vhd: convert it with Convert-VHD, or detach it";
  }
  return {};
}

std::string RefusalOf(const wire::Disk& disk) {
  if (disk.pass_through()) {
    return "is a physical disk, which an export does not hold: back it up inside of the guest, or "
           "detach it";
  }
  if (disk.shared()) {
    return "is shared with other VMs, and Hyper-V does not export such a disk: back it up inside "
           "of the guest, or detach it";
  }
  if (std::string refusal = RefusalOfImage(disk.path()); !refusal.empty()) return refusal;
  for (const std::string& parent : disk.parents()) {
    std::string refusal = RefusalOfImage(parent);
    if (!refusal.empty()) return absl::StrCat("has a parent, ", parent, ", that ", refusal);
  }
  return {};
}

absl::Status RefuseState(const wire::Vm& vm) {
  for (const std::string& status : vm.status()) {
    if (std::find(kBusy.begin(), kBusy.end(), status) != kBusy.end()) {
      return error::VmBusy(vm.name(), absl::StrCat("a task of Hyper-V's (", status, ")"));
    }
  }
  if (PowerOf(vm.state()) != PowerState::kUnknown) return absl::OkStatus();
  return error::CannotBackUp(
      vm.name(), absl::StrCat("its state is ", vm.state().empty() ? "not known" : vm.state(),
                              ": wait until it is Running, Off, Saved or Paused; if it stays so, "
                              "look at its storage in Hyper-V Manager"));
}

// All images of an export lie in one folder, under their own names: two of one name could not both
// be there. What Hyper-V does with them is [open].
absl::Status RefuseSameNames(const wire::Vm& vm) {
  std::map<std::string, std::string> paths;  // by file name, both without case
  const auto same = [&](const std::string& path) {
    const std::string lower = absl::AsciiStrToLower(path);
    const auto [at, added] = paths.emplace(FileNameOf(lower), lower);
    return !added && at->second != lower;
  };
  for (const wire::Disk& disk : vm.disks()) {
    bool found = same(disk.path());
    for (const std::string& parent : disk.parents()) found = same(parent) || found;
    if (!found) continue;
    return error::CannotBackUp(
        vm.name(),
        absl::StrCat("disk ", TargetOf(disk), " (", disk.path(),
                     ") or a parent of it has the file name of another image of the VM, "
                     "in another folder: rename one, an export puts them in one folder"));
  }
  return absl::OkStatus();
}

Disk DiskOf(const wire::Disk& said) {
  Disk disk;
  disk.target = TargetOf(said);
  disk.source = said.path();
  disk.format = FormatOf(said.path());
  for (const std::string& parent : said.parents()) {
    disk.backing.push_back({.file = parent, .format = FormatOf(parent), .data_file = ""});
  }
  disk.virtual_bytes = said.virtual_bytes();
  disk.data_bytes = said.file_bytes();
  return disk;
}

}  // namespace

bool IsAbsolutePath(absl::string_view path) {
  if (absl::StartsWith(path, "/")) return path.size() > 1;
  if (absl::StartsWith(path, "\\\\")) return path.size() > 2;
  return path.size() > 3 && absl::ascii_isalpha(static_cast<unsigned char>(path[0])) &&
         path[1] == ':' && (path[2] == '\\' || path[2] == '/');
}

std::string FormatOf(absl::string_view path) {
  const absl::string_view name = FileNameOf(path);
  const size_t dot = name.rfind('.');
  if (dot == absl::string_view::npos || dot == 0) return {};
  const std::string extension = absl::AsciiStrToLower(name.substr(dot + 1));
  if (extension == "vhdx" || extension == "avhdx") return "vhdx";
  if (extension == "vhd" || extension == "avhd") return "vhd";
  return {};
}

PowerState PowerOf(absl::string_view state) {
  if (state == "Running") return PowerState::kOn;
  if (state == "Off" || state == "Saved") return PowerState::kOff;
  if (state == "Paused") return PowerState::kPaused;
  return PowerState::kUnknown;
}

absl::StatusOr<VmSummary> SummaryOf(const wire::Vm& vm) {
  VmSummary summary{.uuid = absl::AsciiStrToLower(vm.id()),
                    .name = vm.name(),
                    .power = PowerOf(vm.state()),
                    .overlays = {}};
  if (!IsUuid(summary.uuid)) {
    return error::HypervisorFailed("look at a VM",
                                   absl::StrCat("VM ", vm.name(), " has an id that is no GUID"));
  }
  return summary;
}

absl::StatusOr<VmDescription> DescriptionOf(const wire::Vm& vm) {
  VMKEEP_ASSIGN_OR_RETURN(VmSummary summary, SummaryOf(vm));
  VMKEEP_RETURN_IF_ERROR(RefuseState(vm));
  if (vm.disks().empty()) {
    return error::CannotBackUp(vm.name(), "it has no disk: attach one, or leave it out");
  }
  VmDescription description;
  description.uuid = std::move(summary.uuid);
  description.name = vm.name();
  description.power = summary.power;
  description.not_included.assign(vm.not_included().begin(), vm.not_included().end());
  for (const wire::Disk& disk : vm.disks()) {
    if (const std::string refusal = RefusalOf(disk); !refusal.empty()) {
      return error::CannotBackUp(
          vm.name(), absl::StrCat("disk ", TargetOf(disk), " (", disk.path(), ") ", refusal));
    }
    description.disks.push_back(DiskOf(disk));
  }
  VMKEEP_RETURN_IF_ERROR(RefuseSameNames(vm));
  return description;
}

}  // namespace vmkeep::executor::hyperv
