// LibvirtHypervisor: the overlay of a VM that is off back into its base.

#include "common/process/process.h"
#include "common/status_macros.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/libvirt/commit_command.h"
#include "executor/hypervisor/libvirt/connection.h"
#include "executor/hypervisor/libvirt/image.h"
#include "executor/hypervisor/libvirt/libvirt_hypervisor.h"
#include "executor/hypervisor/libvirt/merge_watch.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include <unistd.h>

#include <cerrno>

namespace vmkeep::executor {

absl::Status LibvirtHypervisor::CommitOffline(const OverlayDisk& disk) {
  VMKEEP_ASSIGN_OR_RETURN(const MergeStatus status, Observe(disk));
  if (status.phase == MergePhase::kMerged) return absl::OkStatus();
  // A start between this look and the commit is stopped by QEMU's lock on the overlay, and the
  // other way round.
  if (status.phase != MergePhase::kOffline) {
    return error::VmBusy(disk.vm_uuid, "running on the overlay: it is merged live");
  }
  if (access(disk.overlay.c_str(), F_OK) != 0 && errno == ENOENT) {
    return error::OverlayMissing(disk.target, disk.overlay);
  }
  const absl::StatusOr<Disk> base = libvirt::CommittableBase(disk);
  if (!base.ok()) {
    return error::HypervisorFailed(absl::StrCat("merge ", disk.overlay), base.status().message());
  }
  // Nothing was written, the VM was off all the while, say: then the base is not opened, which a
  // VM that runs on top of it would not allow.
  const absl::StatusOr<bool> nothing = libvirt::HoldsNothing(disk.overlay);
  if (nothing.ok() && *nothing) return absl::OkStatus();
  const absl::StatusOr<process::RunResult> ran = process::RunToEnd(
      libvirt::CommitArguments(options_.qemu_img, disk.overlay, *base), options_.commit_timeout);
  if (!ran.ok()) return error::MergeFailed(disk.target, ran.status().message());
  if (!ran->exit_status.ok()) {
    return error::MergeFailed(disk.target,
                              absl::StrCat("qemu-img commit: ", ran->exit_status.ToString(), ": ",
                                           absl::StripAsciiWhitespace(ran->err)));
  }
  // qemu-img flushes what it wrote; this is the belt to it. A merge that is repeated after a
  // failure writes all of it again, so that its flush can be believed.
  for (const std::string& file : {base->source, base->data_file}) {
    if (file.empty()) continue;
    if (absl::Status flushed = libvirt::FlushImage(file); !flushed.ok()) {
      return error::MergeFailed(disk.target, flushed.message());
    }
  }
  merges_->SetMerged(disk, true);
  return absl::OkStatus();
}

}  // namespace vmkeep::executor
