// LibvirtHypervisor: a disk that is found on its base was merged, or it was not: a VM that was
// defined anew, or started from another definition, is on its base too, and its overlay alone holds
// what the guest wrote. Nothing is unlinked before that is known.

#include "common/process/process.h"
#include "common/status_macros.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/libvirt/commit_command.h"
#include "executor/hypervisor/libvirt/connection.h"
#include "executor/hypervisor/libvirt/domain_note.h"
#include "executor/hypervisor/libvirt/image.h"
#include "executor/hypervisor/libvirt/libvirt_hypervisor.h"
#include "executor/hypervisor/libvirt/merge_watch.h"
#include "executor/hypervisor/libvirt/vm_look.h"

#include "absl/strings/str_cat.h"
#include <sys/stat.h>

#include <cerrno>
#include <optional>
#include <string>

namespace vmkeep::executor {
namespace {

using libvirt::Access;
using libvirt::DomainHandle;
using libvirt::VmLook;

struct Since {
  bool running = false;
  bool noted = false;  // it is the QEMU that was put on the overlay
};

absl::StatusOr<Since> SinceOverlay(const Access& access, const OverlayDisk& disk) {
  VMKEEP_ASSIGN_OR_RETURN(const DomainHandle domain, libvirt::FindVm(access, disk.vm_uuid));
  VMKEEP_ASSIGN_OR_RETURN(const VmLook look, libvirt::LookAt(domain.get(), /*secure=*/false));
  if (!look.running()) return Since{};
  VMKEEP_ASSIGN_OR_RETURN(const std::optional<int64_t> note,
                          libvirt::Noted(domain.get(), libvirt::OnOverlayUri(disk)));
  return Since{true, note.has_value()};
}

// The file is gone, or was reserved for a snapshot that never came, or the guest wrote nothing.
bool NothingToMerge(const std::string& overlay) {
  struct stat found = {};
  if (stat(overlay.c_str(), &found) != 0) return errno == ENOENT;
  if (found.st_size == 0) return true;
  const absl::StatusOr<bool> nothing = libvirt::HoldsNothing(overlay);
  return nothing.ok() && *nothing;
}

}  // namespace

absl::Status LibvirtHypervisor::ProveMerged(const OverlayDisk& disk) {
  if (merges_->WasMerged(disk) || NothingToMerge(disk.overlay)) return absl::OkStatus();
  VMKEEP_ASSIGN_OR_RETURN(const Since since,
                          connection_->Call<Since>(
                              absl::StrCat("look whether ", disk.target, " was merged"),
                              [disk](const Access& access) { return SinceOverlay(access, disk); }));
  bool proven = since.noted;
  if (!since.running) {
    const absl::StatusOr<Disk> base = libvirt::CommittableBase(disk);
    if (base.ok()) {
      const absl::StatusOr<process::RunResult> compared =
          process::RunToEnd(libvirt::CompareArguments(options_.qemu_img, disk.overlay, *base),
                            options_.commit_timeout);
      proven = compared.ok() && compared->exit_status.ok();
    }
  }
  if (!proven) return error::OverlayNotMerged(disk.target, disk.overlay, disk.base);
  merges_->SetMerged(disk, true);
  return absl::OkStatus();
}

}  // namespace vmkeep::executor
