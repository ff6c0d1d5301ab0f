#include "executor/task/late_hypervisor.h"

#include "common/backoff.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "executor/hypervisor/errors.h"

#include <utility>

namespace vmkeep::executor {
namespace {

constexpr absl::Duration kFirstDelay = absl::Milliseconds(500);
// A merge that is due starts within 30 s of the hypervisor's return.
constexpr absl::Duration kLongestDelay = absl::Seconds(10);

}  // namespace

LateHypervisor::LateHypervisor(std::string name, BackupMethod method, bool simulated, Clock& clock,
                               Open open)
    : name_(std::move(name)),
      method_(method),
      simulated_(simulated),
      clock_(clock),
      open_(std::move(open)) {
  if (TryOpen()) return;
  opening_ = std::jthread([this](const std::stop_token& stop) {
    Backoff backoff(kFirstDelay, kLongestDelay, 0);
    while (clock_.WaitFor(backoff.Next(), stop)) {
      if (TryOpen()) return;
    }
  });
}

bool LateHypervisor::TryOpen() {
  absl::StatusOr<std::unique_ptr<Hypervisor>> opened = open_();
  std::function<void()> changed;
  Hypervisor* hypervisor = nullptr;
  {
    MutexLock lock(&mu_);
    if (!opened.ok()) {
      if (why_not_.ok()) {
        log::Warning("hypervisor_unreachable",
                     {{"hypervisor", name_}, {"error", opened.status().message()}});
      }
      why_not_ = opened.status();
      return false;
    }
    opened_ = *std::move(opened);
    hypervisor = opened_.get();
    changed = changed_;
  }
  log::Info("hypervisor_reached", {{"hypervisor", name_}});
  if (changed) {
    hypervisor->OnChange(changed);
    changed();
  }
  return true;
}

bool LateHypervisor::simulated() const {
  MutexLock lock(&mu_);
  return opened_ == nullptr ? simulated_ : opened_->simulated();
}

absl::StatusOr<Hypervisor*> LateHypervisor::Get() {
  MutexLock lock(&mu_);
  if (opened_ != nullptr) return opened_.get();
  return error::HypervisorUnavailable(why_not_.message());
}

void LateHypervisor::OnChange(std::function<void()> changed) {
  Hypervisor* opened = nullptr;
  {
    MutexLock lock(&mu_);
    changed_ = changed;
    opened = opened_.get();
  }
  if (opened != nullptr) opened->OnChange(std::move(changed));
}

absl::StatusOr<std::vector<VmSummary>> LateHypervisor::ListVms() {
  VMKEEP_ASSIGN_OR_RETURN(Hypervisor * hypervisor, Get());
  return hypervisor->ListVms();
}

absl::StatusOr<VmDescription> LateHypervisor::Describe(absl::string_view vm_uuid) {
  VMKEEP_ASSIGN_OR_RETURN(Hypervisor * hypervisor, Get());
  return hypervisor->Describe(vm_uuid);
}

absl::StatusOr<SnapshotResult> LateHypervisor::Snapshot(const SnapshotPlan& plan) {
  VMKEEP_ASSIGN_OR_RETURN(Hypervisor * hypervisor, Get());
  return hypervisor->Snapshot(plan);
}

absl::Status LateHypervisor::Thaw(absl::string_view vm_uuid) {
  VMKEEP_ASSIGN_OR_RETURN(Hypervisor * hypervisor, Get());
  return hypervisor->Thaw(vm_uuid);
}

absl::StatusOr<MergeStatus> LateHypervisor::GetMergeStatus(const OverlayDisk& disk) {
  VMKEEP_ASSIGN_OR_RETURN(Hypervisor * hypervisor, Get());
  return hypervisor->GetMergeStatus(disk);
}

absl::Status LateHypervisor::StartMerge(const OverlayDisk& disk) {
  VMKEEP_ASSIGN_OR_RETURN(Hypervisor * hypervisor, Get());
  return hypervisor->StartMerge(disk);
}

absl::Status LateHypervisor::Pivot(const OverlayDisk& disk) {
  VMKEEP_ASSIGN_OR_RETURN(Hypervisor * hypervisor, Get());
  return hypervisor->Pivot(disk);
}

absl::Status LateHypervisor::HelpMerge(const OverlayDisk& disk, const MergeHelp& help) {
  VMKEEP_ASSIGN_OR_RETURN(Hypervisor * hypervisor, Get());
  return hypervisor->HelpMerge(disk, help);
}

absl::Status LateHypervisor::CommitOffline(const OverlayDisk& disk) {
  VMKEEP_ASSIGN_OR_RETURN(Hypervisor * hypervisor, Get());
  return hypervisor->CommitOffline(disk);
}

absl::Status LateHypervisor::Restore(const VmDescription& before,
                                     const std::vector<OverlayDisk>& disks) {
  VMKEEP_ASSIGN_OR_RETURN(Hypervisor * hypervisor, Get());
  return hypervisor->Restore(before, disks);
}

absl::Status LateHypervisor::RemoveOverlay(const OverlayDisk& disk) {
  VMKEEP_ASSIGN_OR_RETURN(Hypervisor * hypervisor, Get());
  return hypervisor->RemoveOverlay(disk);
}

absl::StatusOr<std::string> LateHypervisor::RestoreXml(const VmDescription& vm,
                                                       const std::vector<RestoreFile>& files) {
  VMKEEP_ASSIGN_OR_RETURN(Hypervisor * hypervisor, Get());
  return hypervisor->RestoreXml(vm, files);
}

absl::Status LateHypervisor::StartExport(const ExportPlan& plan, const std::stop_token& stop) {
  VMKEEP_ASSIGN_OR_RETURN(Hypervisor * hypervisor, Get());
  return hypervisor->StartExport(plan, stop);
}

absl::StatusOr<ExportStatus> LateHypervisor::GetExportStatus(const ExportPlan& plan) {
  VMKEEP_ASSIGN_OR_RETURN(Hypervisor * hypervisor, Get());
  return hypervisor->GetExportStatus(plan);
}

absl::Status LateHypervisor::EndExport(const ExportPlan& plan) {
  VMKEEP_ASSIGN_OR_RETURN(Hypervisor * hypervisor, Get());
  return hypervisor->EndExport(plan);
}

}  // namespace vmkeep::executor
