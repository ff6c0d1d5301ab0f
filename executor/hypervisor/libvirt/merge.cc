// LibvirtHypervisor: the overlay of a running VM back into its base.

#include "common/error.h"
#include "common/status_macros.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/libvirt/connection.h"
#include "executor/hypervisor/libvirt/libvirt_error.h"
#include "executor/hypervisor/libvirt/libvirt_hypervisor.h"
#include "executor/hypervisor/libvirt/merge_watch.h"
#include "executor/hypervisor/libvirt/preflight.h"
#include "executor/hypervisor/libvirt/vm_look.h"

#include "absl/strings/str_cat.h"
#include <libvirt/virterror.h>

namespace vmkeep::executor {
namespace {

using libvirt::Access;
using libvirt::DomainHandle;
using libvirt::VmLook;

// Where the disk stands now. The XML says it, also to a client that was not there when the event
// came.
absl::StatusOr<MergeStatus> StatusOf(const Access& access, const OverlayDisk& disk) {
  VMKEEP_ASSIGN_OR_RETURN(const DomainHandle domain, libvirt::FindVm(access, disk.vm_uuid));
  VMKEEP_ASSIGN_OR_RETURN(const VmLook look, libvirt::LookAt(domain.get(), /*secure=*/false));
  MergeStatus status;
  VMKEEP_ASSIGN_OR_RETURN(status.phase, libvirt::PhaseIn(look.now(), look.running(), disk));
  if (status.phase == MergePhase::kMerged && look.running()) {
    // A snapshot that we gave up waiting for may yet come true: "merged" would be a promise.
    VMKEEP_ASSIGN_OR_RETURN(const bool under_way, libvirt::CallUnderWay(domain.get()));
    if (under_way) return error::VmBusy(look.now().name, "a call of libvirt");
  }
  if (status.phase == MergePhase::kRunning || status.phase == MergePhase::kReady) {
    virDomainBlockJobInfo job = {};
    const int jobs = virDomainGetBlockJobInfo(domain.get(), disk.target.c_str(), &job, 0);
    if (jobs < 0) return libvirt::LibvirtError("ask for the merge", disk.vm_uuid);
    // None when the job ended between the two questions: the next look tells how.
    if (jobs > 0) {
      status.bytes_done = static_cast<int64_t>(job.cur);
      status.bytes_total = static_cast<int64_t>(job.end);
    }
  }
  return status;
}

}  // namespace

absl::StatusOr<MergeStatus> LibvirtHypervisor::Observe(const OverlayDisk& disk) {
  return connection_->Call<MergeStatus>(
      absl::StrCat("look at the merge of ", disk.target),
      [disk](const Access& access) { return StatusOf(access, disk); });
}

absl::StatusOr<MergeStatus> LibvirtHypervisor::GetMergeStatus(const OverlayDisk& disk) {
  VMKEEP_ASSIGN_OR_RETURN(MergeStatus status, Observe(disk));
  if (status.phase == MergePhase::kMerged) {
    VMKEEP_RETURN_IF_ERROR(ProveMerged(disk));
    merges_->End(disk);
  } else {
    merges_->SetMerged(disk, false);
  }
  if (status.phase == MergePhase::kNone && merges_->TakeFailure(disk)) {
    return error::MergeFailed(
        disk.target, absl::StrCat("QEMU gave it up; the VM goes on, on its overlay. The usual "
                                  "cause is a full file system under ",
                                  disk.base, ": make room"));
  }
  return status;
}

absl::Status LibvirtHypervisor::StartMerge(const OverlayDisk& disk) {
  VMKEEP_ASSIGN_OR_RETURN(const MergeStatus before, GetMergeStatus(disk));
  if (before.phase == MergePhase::kOffline) {
    return error::MergeFailed(disk.target, "the VM is off: it is merged offline");
  }
  if (before.phase != MergePhase::kNone) return absl::OkStatus();
  merges_->Begin(disk);
  const auto work = [disk](const Access& access) -> absl::Status {
    VMKEEP_ASSIGN_OR_RETURN(const DomainHandle domain, libvirt::FindVm(access, disk.vm_uuid));
    if (access.given_up()) return absl::CancelledError("nobody waits for the merge any more");
    // The base by name: without one, QEMU merges the user's whole chain into its golden image.
    if (virDomainBlockCommit(domain.get(), disk.target.c_str(), disk.base.c_str(), nullptr, 0,
                             VIR_DOMAIN_BLOCK_COMMIT_ACTIVE) != 0) {
      return libvirt::LibvirtError(absl::StrCat("start the merge of ", disk.target), disk.vm_uuid);
    }
    return absl::OkStatus();
  };
  absl::Status started =
      connection_->Run(absl::StrCat("start the merge of ", disk.target), {}, work);
  if (started.ok() || absl::IsNotFound(started) || absl::IsUnavailable(started)) return started;
  // Somebody was faster, with the start or with the whole merge.
  const absl::StatusOr<MergeStatus> after = Observe(disk);
  if (after.ok() && after->phase != MergePhase::kNone && after->phase != MergePhase::kOffline) {
    return absl::OkStatus();
  }
  return error::MergeFailed(disk.target, started.message());
}

absl::Status LibvirtHypervisor::Pivot(const OverlayDisk& disk) {
  VMKEEP_ASSIGN_OR_RETURN(const MergeStatus before, Observe(disk));
  if (before.phase == MergePhase::kMerged) return absl::OkStatus();
  if (before.phase != MergePhase::kReady) return error::MergeNotReady(disk.target);
  const auto work = [disk](const Access& access) -> absl::Status {
    VMKEEP_ASSIGN_OR_RETURN(const DomainHandle domain, libvirt::FindVm(access, disk.vm_uuid));
    if (access.given_up()) return absl::CancelledError("nobody waits for the pivot any more");
    if (virDomainBlockJobAbort(domain.get(), disk.target.c_str(),
                               VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT) != 0) {
      return libvirt::LibvirtError(absl::StrCat("end the merge of ", disk.target), disk.vm_uuid);
    }
    return absl::OkStatus();
  };
  absl::Status ended = connection_->Run(absl::StrCat("end the merge of ", disk.target), {}, work);
  if (libvirt::LibvirtCode(ended) == VIR_ERR_BLOCK_COPY_ACTIVE) {
    return error::MergeNotReady(disk.target);
  }
  if (absl::IsNotFound(ended) || absl::IsUnavailable(ended)) return ended;
  // The XML decides, whatever the call said.
  VMKEEP_ASSIGN_OR_RETURN(const MergeStatus after, Observe(disk));
  if (after.phase == MergePhase::kMerged) {
    merges_->SetMerged(disk, true);
    merges_->End(disk);
    return absl::OkStatus();
  }
  return error::MergeFailed(disk.target,
                            ended.ok() ? "the disk is still on its overlay" : ended.message());
}

}  // namespace vmkeep::executor
