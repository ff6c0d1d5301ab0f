// LibvirtHypervisor: what VMs there are, and what a backup of one would take.

#include "common/status_macros.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/libvirt/all_vms.h"
#include "executor/hypervisor/libvirt/connection.h"
#include "executor/hypervisor/libvirt/image.h"
#include "executor/hypervisor/libvirt/libvirt_error.h"
#include "executor/hypervisor/libvirt/libvirt_hypervisor.h"
#include "executor/hypervisor/libvirt/preflight.h"
#include "executor/hypervisor/libvirt/vm_look.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <libvirt/virterror.h>
#include <unistd.h>

#include <set>
#include <utility>

namespace vmkeep::executor {
namespace {

using libvirt::Access;
using libvirt::DomainHandle;
using libvirt::DomainXml;
using libvirt::VmLook;

// The base of an overlay that an offline snapshot made stands only in the overlay's own header.
void CompleteFromHeader(OverlayDisk& disk) {
  if (!disk.base.empty() && !disk.base_format.empty()) return;
  const absl::StatusOr<libvirt::Qcow2Header> header = libvirt::ReadQcow2Header(disk.overlay);
  if (!header.ok()) return;
  disk.base = header->backing;
  disk.base_format = header->backing_format;
}

// Ours in the live and in the inactive XML, each once.
std::vector<OverlayDisk> OverlaysOf(const VmLook& look) {
  std::vector<OverlayDisk> overlays;
  std::set<std::string> seen;
  for (const std::optional<DomainXml>* xml : {&look.live, &look.inactive}) {
    if (!xml->has_value()) continue;
    for (OverlayDisk& disk : libvirt::OverlaysIn(**xml)) {
      if (!seen.insert(disk.overlay).second) continue;
      CompleteFromHeader(disk);
      overlays.push_back(std::move(disk));
    }
  }
  return overlays;
}

// What libvirt, or a job of somebody, does to the VM now; empty when nothing.
absl::StatusOr<std::string> BusyWith(virDomainPtr domain, const VmLook& look) {
  if (look.power == PowerState::kPaused && look.live &&
      (look.reason == VIR_DOMAIN_PAUSED_MIGRATION || look.reason == VIR_DOMAIN_PAUSED_SAVE ||
       look.reason == VIR_DOMAIN_PAUSED_DUMP || look.reason == VIR_DOMAIN_PAUSED_SNAPSHOT ||
       look.reason == VIR_DOMAIN_PAUSED_STARTING_UP ||
       look.reason == VIR_DOMAIN_PAUSED_SHUTTING_DOWN)) {
    return std::string("a migration, save, dump, snapshot, start or stop");
  }
  // No job of libvirt's is on a VM that is off.
  if (!look.live) return std::string();
  virDomainJobInfo job = {};
  if (virDomainGetJobInfo(domain, &job) != 0) return libvirt::LibvirtError("ask for jobs");
  // A snapshot beside one blocks for 30 s (libvirt-facts.md, 8).
  if (job.type != VIR_DOMAIN_JOB_NONE) return std::string("a backup, migration, save or dump job");
  for (const libvirt::DiskXml& disk : look.live->disks) {
    if (disk.mirror) return absl::StrCat("a block job on disk ", disk.target);
    if (disk.empty) continue;
    virDomainBlockJobInfo block = {};
    const int jobs = virDomainGetBlockJobInfo(domain, disk.target.c_str(), &block, 0);
    if (jobs < 0) return libvirt::LibvirtError("ask for block jobs");
    if (jobs > 0) return absl::StrCat("a block job on disk ", disk.target);
  }
  return std::string();
}

absl::Status RefuseOverlays(const std::string& name, const VmLook& look) {
  const std::vector<std::string> files = libvirt::OverlayFilesOf(OverlaysOf(look));
  if (files.empty()) return absl::OkStatus();
  return error::VmOnOverlay(name, files,
                            "the executor merges it when it finds the backup's journal; without "
                            "one, merge each file into its backing file and remove it then");
}

absl::Status RefuseState(const VmLook& look) {
  VMKEEP_RETURN_IF_ERROR(libvirt::RefuseManagedSave(look));
  if (look.power == PowerState::kPaused && look.reason == VIR_DOMAIN_PAUSED_IOERROR) {
    return error::CannotBackUp(
        look.now().name,
        "it is paused by an I/O error on a disk: see to the storage, then `virsh resume`");
  }
  return absl::OkStatus();
}

// What libvirt knows of a VM that is no file of it, in words.
std::vector<std::string> NotIncluded(virDomainPtr domain, const VmLook& look) {
  std::vector<std::string> words = look.now().not_included;
  if (virDomainSnapshotNum(domain, 0) > 0) words.emplace_back("libvirt's list of snapshots");
  if (virDomainListAllCheckpoints(domain, nullptr, 0) > 0) {
    words.emplace_back("libvirt's list of checkpoints");
  }
  return words;
}

// What is known before the images are looked at.
struct Prospect {
  VmLook look;
  std::vector<std::string> not_included;
};

// Looks and refuses; what is left needs the images only.
absl::StatusOr<Prospect> LookForBackup(const Access& access, const std::string& uuid,
                                       bool apparmor_allowed) {
  VMKEEP_ASSIGN_OR_RETURN(const DomainHandle domain, libvirt::FindVm(access, uuid));
  VMKEEP_ASSIGN_OR_RETURN(VmLook look, libvirt::LookAt(domain.get(), /*secure=*/true));
  const std::string name = look.now().name;
  VMKEEP_RETURN_IF_ERROR(RefuseOverlays(name, look));
  VMKEEP_RETURN_IF_ERROR(RefuseState(look));
  VMKEEP_ASSIGN_OR_RETURN(const std::string busy, BusyWith(domain.get(), look));
  if (!busy.empty()) return error::VmBusy(name, busy);
  // Only a QEMU that runs is confined.
  if (look.live) {
    unsigned long version = 0;
    if (virConnectGetLibVersion(access.get(), &version) != 0) {
      return libvirt::LibvirtError("ask for libvirt's version");
    }
    VMKEEP_RETURN_IF_ERROR(libvirt::CheckConfinement(*look.live, version, apparmor_allowed));
  }
  std::vector<std::string> not_included = NotIncluded(domain.get(), look);
  return Prospect{std::move(look), std::move(not_included)};
}

// Looks at the images of a disk that is to be taken.
absl::Status CompleteDisk(const VmLook& look, Disk& disk) {
  const std::string& name = look.now().name;
  absl::Status sound = libvirt::InspectImage(disk);
  if (sound.ok()) sound = libvirt::CheckChain(disk, *look.now().Find(disk.target));
  if (absl::IsFailedPrecondition(sound)) return error::CannotBackUp(name, sound.message());
  VMKEEP_RETURN_IF_ERROR(sound);
  if (look.running()) return absl::OkStatus();
  // libvirt doubles commas also in the overlay's own name, which qemu-img takes as it is (seen).
  if (absl::StrContains(disk.source, ',')) {
    return error::CannotBackUp(
        name,
        absl::StrCat("it is off, and libvirt cannot put disk ", disk.target, " (", disk.source,
                     ") onto an overlay then, because of the comma in its path: start the VM, "
                     "or rename the file"));
  }
  // Another VM that runs on top of it, say. QEMU's lock keeps this one from being started now; on
  // an overlay it could be, and what it wrote could not be merged.
  const absl::StatusOr<bool> used = libvirt::InUse(disk.source);
  if (!used.ok() || !*used) return absl::OkStatus();
  return error::VmBusy(name, absl::StrCat("being off while another VM or program has its disk ",
                                          disk.target, " (", disk.source, ") open"));
}

// A flat copy of a disk has no place for what else a qcow2 image holds.
void SayWhatFlatCopiesLack(VmDescription& vm) {
  for (const Disk& disk : vm.disks) {
    if (!disk.flat() || disk.format != "qcow2") continue;
    const absl::StatusOr<libvirt::Qcow2Header> header = libvirt::ReadQcow2Header(disk.source);
    if (!header.ok() || header->snapshots == 0) continue;
    vm.not_included.push_back(
        absl::StrCat("the snapshots inside of disk ", disk.target, ", which is stored flat"));
  }
}

// Where the NVRAM is; empty when there is none, also when it is only made at the first start.
std::string NvramOf(const VmLook& look) {
  const std::string& file = look.now().nvram;
  return look.running() || ::access(file.c_str(), F_OK) == 0 ? file : std::string();
}

}  // namespace

absl::StatusOr<VmDescription> LibvirtHypervisor::Describe(absl::string_view vm_uuid) {
  const std::string uuid(vm_uuid);
  const bool allowed = options_.apparmor_allowed;
  VMKEEP_ASSIGN_OR_RETURN(
      Prospect prospect,
      connection_->Call<Prospect>("describe the VM", [uuid, allowed](const Access& access) {
        return LookForBackup(access, uuid, allowed);
      }));
  VmLook& look = prospect.look;
  const DomainXml* inactive = look.running() && look.inactive ? &*look.inactive : nullptr;
  VMKEEP_ASSIGN_OR_RETURN(libvirt::DiskChoice choice, libvirt::ChooseDisks(look.now(), inactive));
  for (Disk& disk : choice.disks) VMKEEP_RETURN_IF_ERROR(CompleteDisk(look, disk));
  VmDescription vm{.uuid = look.now().uuid,
                   .name = look.now().name,
                   .power = look.power,
                   .disks = std::move(choice.disks),
                   .excluded = std::move(choice.excluded),
                   .not_included = std::move(prospect.not_included),
                   .nvram = NvramOf(look),
                   .live_xml = std::move(look.live_xml),
                   .inactive_xml = std::move(look.inactive_xml)};
  SayWhatFlatCopiesLack(vm);
  return vm;
}

absl::StatusOr<std::vector<VmSummary>> LibvirtHypervisor::ListVms() {
  return connection_->Call<std::vector<VmSummary>>(
      "list the VMs", [](const Access& access) -> absl::StatusOr<std::vector<VmSummary>> {
        std::vector<VmSummary> vms;
        VMKEEP_RETURN_IF_ERROR(
            libvirt::ForEachVm(access, /*secure=*/false, [&](const VmLook& look) {
              vms.push_back({.uuid = look.now().uuid,
                             .name = look.now().name,
                             .power = look.power,
                             .overlays = OverlaysOf(look)});
              return absl::OkStatus();
            }));
        return vms;
      });
}

void LibvirtHypervisor::OnChange(std::function<void()> changed) {
  connection_->OnChange(std::move(changed));
}

absl::StatusOr<std::string> LibvirtHypervisor::RestoreXml(const VmDescription& vm,
                                                          const std::vector<RestoreFile>& files) {
  absl::StatusOr<std::string> xml = libvirt::RestoreXmlFrom(
      vm.inactive_xml.empty() ? vm.live_xml : vm.inactive_xml, files, vm.nvram);
  if (!xml.ok()) return error::HypervisorFailed("write the definition", xml.status().message());
  return xml;
}

}  // namespace vmkeep::executor
