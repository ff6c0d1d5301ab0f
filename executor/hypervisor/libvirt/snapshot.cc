// LibvirtHypervisor: all disks onto overlays at one instant, the guest's file systems frozen if
// they can be.

#include "common/error.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/libvirt/connection.h"
#include "executor/hypervisor/libvirt/domain_note.h"
#include "executor/hypervisor/libvirt/libvirt_error.h"
#include "executor/hypervisor/libvirt/libvirt_hypervisor.h"
#include "executor/hypervisor/libvirt/overlay_files.h"
#include "executor/hypervisor/libvirt/vm_look.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include <libvirt/virterror.h>

#include <algorithm>
#include <utility>

namespace vmkeep::executor {
namespace {

using libvirt::Access;
using libvirt::DomainHandle;
using libvirt::VmLook;

constexpr char kDoing[] = "take the snapshot";
constexpr char kOff[] = "the VM was off: nothing wrote to its disks";
constexpr unsigned int kFlags = VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY |
                                VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC |
                                VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA;

int WholeSeconds(absl::Duration duration) {
  return static_cast<int>(std::max<int64_t>(1, absl::ToInt64Seconds(duration)));
}

// The agent's own answer to a second freeze. Whoever froze the guest relies on it: it is not ours
// to thaw.
bool FrozenBySomebody(const absl::Status& status) {
  return absl::StrContains(status.message(), "frozen state");
}

// The disks are those of the plan, each on its base: nothing was plugged or changed since the VM
// was described.
absl::Status CheckDisks(const VmLook& look, const SnapshotPlan& plan) {
  const libvirt::DomainXml& now = look.now();
  const auto changed = [&](absl::string_view target) {
    return error::VmBusy(now.name, absl::StrCat("a change of its disk ", target));
  };
  for (const OverlayDisk& disk : plan.disks) {
    const libvirt::DiskXml* found = now.Find(disk.target);
    if (found == nullptr || found->source != disk.base) return changed(disk.target);
  }
  for (const libvirt::DiskXml& disk : now.disks) {
    const bool taken = std::any_of(plan.disks.begin(), plan.disks.end(),
                                   [&](const auto& one) { return one.target == disk.target; });
    const bool left = std::find(plan.untouched.begin(), plan.untouched.end(), disk.target) !=
                      plan.untouched.end();
    if (!taken && !left) return changed(disk.target);
  }
  return absl::OkStatus();
}

// Without the note a merge that nobody saw is not believed: nothing is lost but a file's removal.
void NoteOnOverlay(virDomainPtr domain, const VmLook& look, const SnapshotPlan& plan) {
  if (!look.running()) return;
  for (const OverlayDisk& disk : plan.disks) {
    const absl::Status noted = libvirt::PutNote(domain, libvirt::OnOverlayUri(disk), 1);
    if (noted.ok()) continue;
    log::Warning("overlay_not_noted", {{"vm", plan.vm_uuid}, {"error", noted.message()}});
  }
}

}  // namespace

absl::StatusOr<SnapshotResult> LibvirtHypervisor::Snapshot(const SnapshotPlan& plan) {
  VMKEEP_RETURN_IF_ERROR(CheckPlan(plan));
  libvirt::OverlayFiles files;
  for (const OverlayDisk& disk : plan.disks) {
    if (absl::Status made = files.Reserve(disk.overlay); !made.ok()) {
      files.Remove();
      return error::HypervisorFailed(kDoing, made.message());
    }
  }
  absl::StatusOr<SnapshotResult> result = SnapshotUnderPolicy(plan);
  // Without an answer libvirt may still be about to move the VM onto the files: they stay, and are
  // found by their names.
  const bool answered = ErrorReason(result.status()) != "HYPERVISOR_UNAVAILABLE";
  if (!result.ok() && answered && StillOnBases(plan)) files.Remove();
  return result;
}

absl::Status LibvirtHypervisor::CheckPlan(const SnapshotPlan& plan) {
  if (plan.disks.empty()) return error::HypervisorFailed(kDoing, "the plan has no disk");
  for (const OverlayDisk& disk : plan.disks) {
    if (!absl::StartsWith(disk.overlay, "/") || OverlayTask(disk.overlay).empty()) {
      return error::HypervisorFailed(
          kDoing, absl::StrCat(disk.overlay, " is no name of an overlay of ours"));
    }
  }
  return connection_->Run(kDoing, absl::ZeroDuration(), [plan](const Access& access) {
    const absl::StatusOr<VmLook> look = libvirt::LookAt(access, plan.vm_uuid, /*secure=*/false);
    VMKEEP_RETURN_IF_ERROR(look.status());
    VMKEEP_RETURN_IF_ERROR(libvirt::RefuseManagedSave(*look));
    return CheckDisks(*look, plan);
  });
}

absl::StatusOr<SnapshotResult> LibvirtHypervisor::SnapshotUnderPolicy(const SnapshotPlan& plan) {
  if (plan.quiesce == QuiescePolicy::kNever) return SnapshotWithout(plan, "not asked for");
  VMKEEP_ASSIGN_OR_RETURN(std::string why_not, WhyNoFreeze(plan.vm_uuid));
  if (why_not.empty()) return SnapshotFrozen(plan);
  // Nobody is there to be frozen: what the policy is for holds.
  if (why_not == kOff) return SnapshotWithout(plan, std::move(why_not));
  if (plan.quiesce == QuiescePolicy::kRequired) return error::QuiesceFailed(plan.vm_uuid, why_not);
  return SnapshotWithout(plan, std::move(why_not));
}

// Why the guest cannot be asked to freeze; empty when it can.
absl::StatusOr<std::string> LibvirtHypervisor::WhyNoFreeze(const std::string& vm_uuid) {
  return connection_->Call<std::string>(
      kDoing, [vm_uuid](const Access& access) -> absl::StatusOr<std::string> {
        VMKEEP_ASSIGN_OR_RETURN(const VmLook look,
                                libvirt::LookAt(access, vm_uuid, /*secure=*/false));
        if (look.power == PowerState::kOff) return kOff;
        if (look.power != PowerState::kOn) return "the VM is paused";
        switch (look.now().agent) {
          case libvirt::AgentChannel::kNone:
            return "the VM has no channel for a guest agent";
          case libvirt::AgentChannel::kDisconnected:
            return "no guest agent runs in the guest";
          case libvirt::AgentChannel::kConnected:
            break;
        }
        return std::string();
      });
}

// libvirtd itself freezes and thaws, so that our death leaves no frozen guest behind. Where its
// answer does not come, or the agent hangs, the freeze may have been delivered all the same: thaw.
absl::StatusOr<SnapshotResult> LibvirtHypervisor::SnapshotFrozen(const SnapshotPlan& plan) {
  const absl::Time instant = clock_.Now();
  const absl::Duration began = clock_.Monotonic();
  absl::Status created = CreateSnapshot(plan, /*quiesce=*/true);
  if (created.ok()) {
    const absl::Duration took = clock_.Monotonic() - began;
    VMKEEP_RETURN_IF_ERROR(VerifyOnOverlays(plan));
    return SnapshotResult{.instant = instant,
                          .consistency = Consistency::kFilesystem,
                          .quiesce_detail = absl::StrCat(
                              "the guest agent froze the file systems; frozen for less than ",
                              absl::ToInt64Milliseconds(took) + 1, " ms")};
  }
  std::string detail(created.message());
  if (FrozenBySomebody(created)) {
    detail = "the guest was frozen already, by somebody else, and was left so";
  } else if (absl::Status thawed = ThawWithin(plan.vm_uuid, options_.agent_timeout); !thawed.ok()) {
    absl::StrAppend(&detail, "; it may still be frozen: ", thawed.message());
  }
  if (!libvirt::IsAgentError(created)) return created;
  if (plan.quiesce == QuiescePolicy::kRequired) return error::QuiesceFailed(plan.vm_uuid, detail);
  return SnapshotWithout(plan, std::move(detail));
}

absl::StatusOr<SnapshotResult> LibvirtHypervisor::SnapshotWithout(const SnapshotPlan& plan,
                                                                  std::string detail) {
  const absl::Time instant = clock_.Now();
  VMKEEP_RETURN_IF_ERROR(CreateSnapshot(plan, /*quiesce=*/false));
  VMKEEP_RETURN_IF_ERROR(VerifyOnOverlays(plan));
  return SnapshotResult{
      .instant = instant, .consistency = Consistency::kCrash, .quiesce_detail = std::move(detail)};
}

absl::Status LibvirtHypervisor::CreateSnapshot(const SnapshotPlan& plan, bool quiesce) {
  const int agent_seconds = WholeSeconds(options_.agent_timeout);
  // The freeze, and libvirt's own thaw.
  const absl::Duration extra = quiesce ? 2 * options_.agent_timeout : absl::ZeroDuration();
  const auto work = [plan, quiesce, agent_seconds](const Access& access) -> absl::Status {
    VMKEEP_ASSIGN_OR_RETURN(const DomainHandle domain, libvirt::FindVm(access, plan.vm_uuid));
    if (quiesce && virDomainAgentSetResponseTimeout(domain.get(), agent_seconds, 0) != 0) {
      return libvirt::LibvirtError("set the agent's timeout", plan.vm_uuid);
    }
    if (access.given_up()) return absl::CancelledError("nobody waits for the snapshot any more");
    const unsigned int flags = kFlags | (quiesce ? VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE : 0);
    const libvirt::SnapshotHandle snapshot(
        virDomainSnapshotCreateXML(domain.get(), libvirt::SnapshotXml(plan).c_str(), flags));
    if (snapshot == nullptr) return libvirt::LibvirtError(kDoing, plan.vm_uuid);
    return absl::OkStatus();
  };
  return connection_->Run(kDoing, extra, work);
}

// A success of the call is not the proof: the live XML is.
absl::Status LibvirtHypervisor::VerifyOnOverlays(const SnapshotPlan& plan) {
  return connection_->Run(kDoing, absl::ZeroDuration(), [plan](const Access& access) {
    VMKEEP_ASSIGN_OR_RETURN(const DomainHandle domain, libvirt::FindVm(access, plan.vm_uuid));
    const absl::StatusOr<VmLook> look = libvirt::LookAt(domain.get(), /*secure=*/false);
    if (!look.ok()) return look.status();
    NoteOnOverlay(domain.get(), *look, plan);
    std::vector<std::string> missing;
    for (const OverlayDisk& disk : plan.disks) {
      const libvirt::DiskXml* found = look->now().Find(disk.target);
      if (found == nullptr || found->source != disk.overlay) missing.push_back(disk.target);
    }
    if (missing.empty()) return absl::OkStatus();
    return error::VmOnOverlay(look->now().name, libvirt::OverlayFilesOf(plan.disks),
                              absl::StrCat("libvirt made the snapshot, but disk ",
                                           absl::StrJoin(missing, ", "), " is not on its overlay"));
  });
}

// True only when libvirt says that no disk is on an overlay of the plan.
bool LibvirtHypervisor::StillOnBases(const SnapshotPlan& plan) {
  const absl::Status status =
      connection_->Run(kDoing, absl::ZeroDuration(), [plan](const Access& access) {
        const absl::StatusOr<VmLook> look = libvirt::LookAt(access, plan.vm_uuid, false);
        if (!look.ok()) return look.status();
        for (const OverlayDisk& disk : plan.disks) {
          for (const std::string& xml : {look->live_xml, look->inactive_xml}) {
            if (xml.empty()) continue;
            const absl::StatusOr<bool> named = libvirt::Names(xml, disk.overlay);
            if (!named.ok()) return named.status();
            if (*named) return error::VmOnOverlay(look->now().name, {disk.overlay}, "merge it");
          }
        }
        return absl::OkStatus();
      });
  if (!status.ok() && ErrorReason(status) != "VM_NOT_FOUND") {
    log::Warning("snapshot_failed_overlays_kept",
                 {{"vm", plan.vm_uuid}, {"error", status.ToString()}});
    return false;
  }
  return true;
}

}  // namespace vmkeep::executor
