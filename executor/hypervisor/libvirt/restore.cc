// LibvirtHypervisor: after the merge, everything as it was; only then the overlay goes.

#include "common/fs/files.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/libvirt/all_vms.h"
#include "executor/hypervisor/libvirt/connection.h"
#include "executor/hypervisor/libvirt/domain_note.h"
#include "executor/hypervisor/libvirt/image.h"
#include "executor/hypervisor/libvirt/libvirt_error.h"
#include "executor/hypervisor/libvirt/libvirt_hypervisor.h"
#include "executor/hypervisor/libvirt/merge_watch.h"
#include "executor/hypervisor/libvirt/overlay_files.h"
#include "executor/hypervisor/libvirt/vm_look.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace vmkeep::executor {
namespace {

using libvirt::Access;
using libvirt::DomainHandle;
using libvirt::VmLook;

// Our overlays that the XML names, wherever in it.
absl::StatusOr<std::vector<std::string>> NamedIn(const std::string& xml,
                                                 const std::vector<OverlayDisk>& disks) {
  std::vector<std::string> files;
  if (xml.empty()) return files;
  for (const OverlayDisk& disk : disks) {
    VMKEEP_ASSIGN_OR_RETURN(const bool named, libvirt::Names(xml, disk.overlay));
    if (named) files.push_back(disk.overlay);
  }
  return files;
}

absl::Status NotRestored(const VmLook& look, const std::vector<std::string>& files,
                         absl::string_view remedy) {
  return error::VmOnOverlay(look.now().name, files, remedy);
}

// The last check of an XML: the bases, and no job.
absl::Status CheckDisks(const VmLook& look, const libvirt::DomainXml& xml,
                        const std::vector<OverlayDisk>& disks, absl::string_view which) {
  for (const OverlayDisk& disk : disks) {
    const libvirt::DiskXml* found = xml.Find(disk.target);
    if (found == nullptr || found->source != disk.base || found->mirror) {
      return NotRestored(look, {disk.overlay},
                         absl::StrCat("disk ", disk.target, " of the ", which, " is not simply on ",
                                      disk.base, ": see `virsh dumpxml`"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRestored(const VmLook& look, const VmDescription& before,
                           const std::vector<OverlayDisk>& disks) {
  if (look.live) VMKEEP_RETURN_IF_ERROR(CheckDisks(look, *look.live, disks, "running VM"));
  if (look.inactive) VMKEEP_RETURN_IF_ERROR(CheckDisks(look, *look.inactive, disks, "definition"));
  if (look.inactive_xml == before.inactive_xml) return absl::OkStatus();
  // A definition that libvirt had not read back since its first `virsh define` is sorted anew when
  // it is put back.
  VMKEEP_ASSIGN_OR_RETURN(const bool same,
                          libvirt::SameButForOrder(look.inactive_xml, before.inactive_xml));
  if (!same) {
    return NotRestored(look, libvirt::OverlayFilesOf(disks),
                       "all disks are merged, but the definition is not what it was: somebody "
                       "changed it meanwhile; compare it with the one in the backup, then remove "
                       "the overlays");
  }
  return absl::OkStatus();
}

// A live merge of disks that an offline snapshot put on overlays leaves them in the definition with
// an end of the chain that was not there (seen: <backingStore/>). Nobody's change gets lost where
// that is all.
absl::StatusOr<bool> DiffersByChainsOnly(const VmLook& look, const VmDescription& before,
                                         const std::vector<OverlayDisk>& disks) {
  if (!look.inactive || look.inactive_xml == before.inactive_xml) return false;
  VMKEEP_ASSIGN_OR_RETURN(const libvirt::DomainXml was, libvirt::ParseDomain(before.inactive_xml));
  for (const OverlayDisk& disk : disks) {
    const libvirt::DiskXml* now = look.inactive->Find(disk.target);
    const libvirt::DiskXml* then = was.Find(disk.target);
    if (now == nullptr || then == nullptr || now->source != then->source ||
        now->format != then->format || now->type != then->type) {
      return false;
    }
  }
  return libvirt::SameButForImages(look.inactive_xml, before.inactive_xml, disks);
}

// A start would go on with the overlay, whatever the definition says.
absl::Status RefuseSavedOnOverlay(virDomainPtr domain, const VmLook& look,
                                  const std::vector<OverlayDisk>& disks) {
  VMKEEP_ASSIGN_OR_RETURN(const std::string saved, libvirt::SavedXml(domain));
  VMKEEP_ASSIGN_OR_RETURN(const std::vector<std::string> named, NamedIn(saved, disks));
  if (named.empty()) return absl::OkStatus();
  return NotRestored(
      look, named,
      "its memory was saved on it: start the VM, and it is merged live, or throw the "
      "saved memory away with `virsh managedsave-remove`");
}

// What keeps the definition from being put back: a disk that is not merged, or a change that would
// be lost.
absl::Status MayDefine(const VmLook& look, const VmDescription& before,
                       const std::vector<OverlayDisk>& disks) {
  VMKEEP_ASSIGN_OR_RETURN(const std::vector<std::string> live, NamedIn(look.live_xml, disks));
  if (!live.empty()) {
    return NotRestored(look, live, "the running VM is on it: it has to be merged first");
  }
  if (look.inactive_xml.empty()) return absl::OkStatus();
  VMKEEP_ASSIGN_OR_RETURN(const bool same,
                          libvirt::SameButForImages(look.inactive_xml, before.inactive_xml, disks));
  if (same) return absl::OkStatus();
  return NotRestored(look, libvirt::OverlayFilesOf(disks),
                     "the definition names it and was changed by somebody meanwhile: set the "
                     "disks' sources back with `virsh edit`");
}

// A guest that ran and was paused because its overlay had no room goes on: its write is repeated,
// and succeeds (libvirt-facts.md, 7).
absl::Status Release(virDomainPtr domain, const VmLook& look, const VmDescription& before) {
  if (before.power != PowerState::kOn || look.power != PowerState::kPaused ||
      look.reason != VIR_DOMAIN_PAUSED_IOERROR) {
    return absl::OkStatus();
  }
  log::Warning("resume_after_io_error", {{"vm", before.uuid}});
  return virDomainResume(domain) == 0 ? absl::OkStatus()
                                      : libvirt::LibvirtError("resume the VM", before.uuid);
}

// The file that was described, and no other, gets back what libvirt changed.
absl::Status PutOwnerBack(const Disk& disk) {
  const fs::Fd file(open(disk.source.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("open ", disk.source));
  VMKEEP_ASSIGN_OR_RETURN(const fs::FileInfo found, fs::GetInfo(file, disk.source));
  if (!disk.IsOf(found)) {
    log::Warning("disk_is_another_file", {{"file", disk.source}});
    return absl::OkStatus();
  }
  int error = 0;
  if (found.uid != disk.uid || found.gid != disk.gid) {
    if (fchown(file.get(), disk.uid, disk.gid) != 0) error = errno;
  }
  if (error == 0 && (found.mode & 07777) != disk.mode) {
    if (fchmod(file.get(), disk.mode) != 0) error = errno;
  }
  if (error == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(error, absl::StrCat("put the owner back of ", disk.source));
}

// The base has all of the guest's writes now, and the overlay goes next: not before they are on the
// disk.
absl::Status RestoreFiles(const Disk& disk, bool owner_too) {
  for (const std::string& file : {disk.source, disk.data_file}) {
    const absl::Status flushed = file.empty() ? absl::OkStatus() : libvirt::FlushImage(file);
    if (absl::IsDataLoss(flushed)) return error::BaseNotFlushed(file, flushed.message());
    VMKEEP_RETURN_IF_ERROR(flushed);
  }
  return owner_too ? PutOwnerBack(disk) : absl::OkStatus();
}

// Runs inside of Call(): whether the definition has to be put back; refuses where it must not.
absl::StatusOr<bool> NeedsDefinition(const Access& access, const VmDescription& before,
                                     const std::vector<OverlayDisk>& disks) {
  VMKEEP_ASSIGN_OR_RETURN(const DomainHandle domain, libvirt::FindVm(access, before.uuid));
  VMKEEP_ASSIGN_OR_RETURN(const VmLook look, libvirt::LookAt(domain.get(), /*secure=*/true));
  VMKEEP_RETURN_IF_ERROR(RefuseSavedOnOverlay(domain.get(), look, disks));
  VMKEEP_ASSIGN_OR_RETURN(const std::vector<std::string> named, NamedIn(look.inactive_xml, disks));
  VMKEEP_ASSIGN_OR_RETURN(const bool by_chains, DiffersByChainsOnly(look, before, disks));
  // libvirt lets a running VM be undefined: it is transient then, and gone when it ends.
  const bool undefined = look.inactive_xml.empty() && !before.inactive_xml.empty();
  if (named.empty() && !undefined && !by_chains) return false;
  VMKEEP_RETURN_IF_ERROR(MayDefine(look, before, disks));
  return true;
}

// Runs inside of Call(): no XML may name the overlay, now or when what libvirt is at comes to its
// end.
absl::Status RefuseWhileNamed(const Access& access, const OverlayDisk& disk) {
  const absl::StatusOr<DomainHandle> own = libvirt::FindVm(access, disk.vm_uuid);
  if (own.ok()) {
    VMKEEP_ASSIGN_OR_RETURN(const bool under_way, libvirt::CallUnderWay(own->get()));
    if (under_way) return error::VmBusy(disk.vm_uuid, "a call of libvirt");
    const absl::StatusOr<VmLook> look = libvirt::LookAt(own->get(), /*secure=*/false);
    if (look.ok()) VMKEEP_RETURN_IF_ERROR(RefuseSavedOnOverlay(own->get(), *look, {disk}));
  } else if (!absl::IsNotFound(own.status())) {
    return own.status();
  }
  // Any VM: a clone may have been made of this one while it was on the overlay.
  return libvirt::ForEachVm(access, /*secure=*/false, [&](const VmLook& look) -> absl::Status {
    for (const std::string& xml : {look.live_xml, look.inactive_xml}) {
      VMKEEP_ASSIGN_OR_RETURN(const std::vector<std::string> files, NamedIn(xml, {disk}));
      if (!files.empty()) return NotRestored(look, files, "it has to be merged before it can go");
    }
    return absl::OkStatus();
  });
}

// A VM that is off or gone has no notes.
absl::Status ForgetOverlay(const Access& access, const OverlayDisk& disk) {
  const absl::StatusOr<DomainHandle> domain = libvirt::FindVm(access, disk.vm_uuid);
  if (!domain.ok() || virDomainIsActive(domain->get()) != 1) return absl::OkStatus();
  return libvirt::RemoveNote(domain->get(), libvirt::OnOverlayUri(disk));
}

}  // namespace

absl::Status LibvirtHypervisor::PutDefinitionBack(const VmDescription& before,
                                                  const std::vector<OverlayDisk>& disks) {
  return connection_->Run(
      "put the VM's definition back", absl::ZeroDuration(),
      [before, disks](const Access& access) -> absl::Status {
        VMKEEP_ASSIGN_OR_RETURN(const bool needed, NeedsDefinition(access, before, disks));
        if (!needed) return absl::OkStatus();
        if (access.given_up()) return absl::CancelledError("nobody waits for it any more");
        // With its uuid in it: a definition without one never replaces another.
        const DomainHandle defined(
            virDomainDefineXMLFlags(access.get(), before.inactive_xml.c_str(), 0));
        if (defined == nullptr) {
          return libvirt::LibvirtError("put the VM's definition back", before.uuid);
        }
        return absl::OkStatus();
      });
}

absl::Status LibvirtHypervisor::Restore(const VmDescription& before,
                                        const std::vector<OverlayDisk>& disks) {
  VMKEEP_RETURN_IF_ERROR(PutDefinitionBack(before, disks));
  VMKEEP_ASSIGN_OR_RETURN(
      const bool running,
      connection_->Call<bool>("check the VM after the merge",
                              [before, disks](const Access& access) -> absl::StatusOr<bool> {
                                VMKEEP_ASSIGN_OR_RETURN(const DomainHandle domain,
                                                        libvirt::FindVm(access, before.uuid));
                                VMKEEP_ASSIGN_OR_RETURN(
                                    const VmLook look,
                                    libvirt::LookAt(domain.get(), /*secure=*/true));
                                VMKEEP_RETURN_IF_ERROR(CheckRestored(look, before, disks));
                                VMKEEP_RETURN_IF_ERROR(Release(domain.get(), look, before));
                                return look.running();
                              }));
  // Started or stopped meanwhile: the owner is then what libvirt made it for that, and a running
  // QEMU needs it so.
  const bool as_before = running == (before.power != PowerState::kOff);
  for (const Disk& disk : before.disks) {
    if (absl::Status status = RestoreFiles(disk, as_before); !status.ok()) {
      if (absl::IsDataLoss(status)) return status;
      return error::HypervisorFailed("restore the VM's files", status.message());
    }
  }
  return absl::OkStatus();
}

absl::Status LibvirtHypervisor::RemoveOverlay(const OverlayDisk& disk) {
  if (OverlayTask(disk.overlay).empty()) {
    return error::HypervisorFailed("remove the overlay",
                                   absl::StrCat(disk.overlay, " is no overlay of ours"));
  }
  VMKEEP_RETURN_IF_ERROR(
      connection_->Run("remove the overlay", absl::ZeroDuration(),
                       [disk](const Access& access) { return RefuseWhileNamed(access, disk); }));
  const absl::StatusOr<bool> used = libvirt::InUse(disk.overlay);
  if (used.ok() && *used) {
    return error::VmOnOverlay(disk.vm_uuid, {disk.overlay},
                              "a process that libvirt does not know of has it open");
  }
  if (absl::Status gone = libvirt::UnlinkOverlay(disk.overlay); !gone.ok()) {
    return error::HypervisorFailed("remove the overlay", gone.message());
  }
  merges_->SetMerged(disk, false);
  // A note that stays does no harm, and ends with QEMU.
  (void)connection_->Run("forget the overlay", absl::ZeroDuration(),
                         [disk](const Access& access) { return ForgetOverlay(access, disk); });
  return absl::OkStatus();
}

}  // namespace vmkeep::executor
