#include "executor/hypervisor/libvirt/preflight.h"

#include "common/status_macros.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/libvirt/image.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include <algorithm>
#include <optional>
#include <string>

namespace vmkeep::executor::libvirt {
namespace {

constexpr unsigned long kAppArmorFixed = 12'001'000;

// Why a disk is left out of every backup (vmkeep.v1.ExcludedDisk); nothing when it is to be taken.
std::optional<std::string> ExclusionOf(const DiskXml& disk) {
  if (disk.device == "cdrom") return "CDROM";
  if (disk.device == "floppy") return "FLOPPY";
  if (disk.device == "lun") return "LUN";
  if (disk.empty) return "EMPTY";
  if (disk.readonly) return "READ_ONLY";
  if (disk.shareable) return "SHAREABLE";
  if (disk.transient) return "TRANSIENT";
  return std::nullopt;
}

// Why a disk of this type cannot be taken, with the remedy; empty when it can.
std::string RefusalOfType(const DiskXml& disk) {
  if (disk.type == "file" || disk.type == "block") {
    if (absl::StartsWith(disk.source, "/")) return {};
    return "has a source that is no absolute path: correct it with `virsh edit`";
  }
  if (disk.type == "network") {
    return absl::StrCat("is on the network (", disk.protocol,
                        "): only files and block devices of the host can be backed up: copy it to "
                        "one with `virsh blockcopy`, or back it up where it is stored");
  }
  if (disk.type == "volume") {
    return "names a volume of a storage pool: name its path (`virsh vol-path`) instead, with "
           "type='file' or type='block'";
  }
  return absl::StrCat("is of type '", disk.type,
                      "': only files and block devices of the host can be backed up: move its data "
                      "to one");
}

// Why a disk cannot be taken, with the remedy; empty when it can.
std::string RefusalOf(const DiskXml& disk) {
  if (disk.device != "disk") {
    return absl::StrCat("is a device of kind '", disk.device, "': detach it");
  }
  if (std::string refusal = RefusalOfType(disk); !refusal.empty()) return refusal;
  if (disk.format.empty()) {
    return "has no declared driver type, and a format is never guessed: add <driver name='qemu' "
           "type='...'/>";
  }
  if (disk.format != "raw" && disk.format != "qcow2") {
    return absl::StrCat("has the format '", disk.format,
                        "': only raw and qcow2 can be backed up: convert it with `qemu-img "
                        "convert -O qcow2`");
  }
  if (disk.slice) return "is only a part of its file: give it a file of its own";
  if (disk.encrypted) {
    return "is encrypted by QEMU, and the overlay would not be: encrypt inside of the guest "
           "instead";
  }
  return {};
}

// A disk that goes away or changes at the next start could not be merged after one.
std::string DifferenceOf(const DiskXml& live, const DomainXml& inactive) {
  const DiskXml* defined = inactive.Find(live.target);
  if (defined == nullptr) {
    return "is not in the VM's definition: add it with `virsh attach-disk --config`, or detach it";
  }
  if (defined->source != live.source || defined->format != live.format ||
      defined->type != live.type) {
    return "is another image in the VM's definition than in the running VM: restart the VM, or "
           "correct the definition";
  }
  return {};
}

absl::Status ForeignChain(const DomainXml& domain, const OverlayDisk& disk, const DiskXml& found) {
  const bool above = std::any_of(found.backing.begin(), found.backing.end(),
                                 [&](const ChainLink& link) { return link.file == disk.overlay; });
  if (above) {
    return error::VmOnOverlay(
        domain.name, {disk.overlay},
        absl::StrCat("somebody made a snapshot above it (", found.source, ") on disk ", disk.target,
                     ": commit that one first with `virsh blockcommit`"));
  }
  return error::HypervisorFailed(
      absl::StrCat("merge of disk ", disk.target),
      absl::StrCat("its image is ", found.source.empty() ? "no file" : found.source,
                   ", neither the overlay ", disk.overlay, " nor its base ", disk.base,
                   ": nothing was touched"));
}

absl::StatusOr<MergePhase> PhaseOnOverlay(const DomainXml& domain, const OverlayDisk& disk,
                                          const DiskXml& found) {
  if (found.backing.empty() || found.backing.front().file != disk.base) {
    return error::HypervisorFailed(absl::StrCat("merge of disk ", disk.target),
                                   absl::StrCat("the overlay ", disk.overlay, " does not stand on ",
                                                disk.base, ": nothing was touched"));
  }
  if (!found.mirror) return MergePhase::kNone;
  const Mirror& merge = *found.mirror;
  // While libvirt takes down a job that ended, well or not, the mirror has lost its kind already:
  // the next look tells how it ended.
  const bool ending = merge.job.empty();
  if (merge.file != disk.base || (merge.job != "active-commit" && !ending)) {
    return error::VmBusy(domain.name,
                         absl::StrCat("a block job of somebody else on disk ", disk.target));
  }
  return merge.ready ? MergePhase::kReady : MergePhase::kRunning;
}

}  // namespace

absl::StatusOr<DiskChoice> ChooseDisks(const DomainXml& now, const DomainXml* inactive) {
  DiskChoice choice;
  for (const DiskXml& disk : now.disks) {
    if (const std::optional<std::string> why = ExclusionOf(disk)) {
      choice.excluded.push_back({disk.target, *why});
      continue;
    }
    std::string refusal = RefusalOf(disk);
    if (refusal.empty() && inactive != nullptr) refusal = DifferenceOf(disk, *inactive);
    if (!refusal.empty()) {
      return error::CannotBackUp(now.name, absl::StrCat("disk ", disk.target, " ", refusal));
    }
    Disk chosen;
    chosen.target = disk.target;
    chosen.source = disk.source;
    chosen.format = disk.format;
    chosen.block_device = disk.type == "block";
    choice.disks.push_back(chosen);
  }
  if (choice.disks.empty()) {
    return error::CannotBackUp(
        now.name, "it has no disk of its own: read-only, shared and transient disks are left out");
  }
  return choice;
}

absl::Status CheckChain(const Disk& disk, const DiskXml& xml) {
  const auto refuse = [&](absl::string_view what, const std::string& named,
                          const std::string& recorded) {
    const auto words = [](const std::string& file) { return file.empty() ? "nothing" : file; };
    return absl::FailedPreconditionError(
        absl::StrCat("disk ", disk.target, " (", disk.source, ") has another ", what,
                     " in the VM's XML (", words(named), ") than in its header (", words(recorded),
                     "): correct the XML with `virsh edit`, or the header with `qemu-img rebase "
                     "-u` while the VM "
                     "is off"));
  };
  if (!xml.data_file.empty() && !SameFile(xml.data_file, disk.data_file)) {
    return refuse("data file", xml.data_file, disk.data_file);
  }
  const size_t levels =
      xml.whole_chain ? std::max(xml.backing.size(), disk.backing.size()) : xml.backing.size();
  for (size_t i = 0; i < levels; ++i) {
    const ChainLink named = i < xml.backing.size() ? xml.backing[i] : ChainLink{};
    const ImageLayer recorded = i < disk.backing.size() ? disk.backing[i] : ImageLayer{};
    if (!SameFile(named.file, recorded.file)) {
      return refuse("backing file", named.file, recorded.file);
    }
    if (named.format != recorded.format) {
      return refuse("format of its backing file", named.format, recorded.format);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckConfinement(const DomainXml& live, unsigned long libvirt_version, bool allowed) {
  if (!live.apparmor || allowed || libvirt_version >= kAppArmorFixed) return absl::OkStatus();
  return error::CannotBackUp(
      live.name,
      "AppArmor confines it, and libvirt before 12.1 lets QEMU merge into a disk only once, so "
      "that the VM would stay on its overlay: allow QEMU to write to the disks' folder in "
      "/etc/apparmor.d/local/abstractions/libvirt-qemu and give the executor --apparmor_allowed, "
      "or take the VM out with <seclabel type='none' model='apparmor'/> and restart it, or use "
      "libvirt 12.1");
}

absl::StatusOr<MergePhase> PhaseIn(const DomainXml& domain, bool running, const OverlayDisk& disk) {
  const DiskXml* found = domain.Find(disk.target);
  if (found == nullptr) {
    return error::HypervisorFailed(
        absl::StrCat("merge of disk ", disk.target),
        absl::StrCat("VM ", domain.name, " has no such disk any more; its overlay is ",
                     disk.overlay, ", its base ", disk.base, ": nothing was touched"));
  }
  if (found->source == disk.overlay) {
    if (!running) return MergePhase::kOffline;
    return PhaseOnOverlay(domain, disk, *found);
  }
  if (found->source == disk.base) return MergePhase::kMerged;
  return ForeignChain(domain, disk, *found);
}

}  // namespace vmkeep::executor::libvirt
