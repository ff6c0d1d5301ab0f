#include "executor/hypervisor/fault_hypervisor.h"

#include "common/fault_point/fault_point.h"
#include "common/status_macros.h"

#include <string>
#include <utility>
#include <vector>

namespace vmkeep::executor {
namespace {

class FaultHypervisor final : public Hypervisor {
 public:
  explicit FaultHypervisor(std::unique_ptr<Hypervisor> hypervisor)
      : hypervisor_(std::move(hypervisor)) {}

  std::string name() const override { return hypervisor_->name(); }
  bool simulated() const override { return hypervisor_->simulated(); }
  BackupMethod method() const override { return hypervisor_->method(); }
  absl::StatusOr<std::vector<VmSummary>> ListVms() override { return hypervisor_->ListVms(); }
  void OnChange(std::function<void()> changed) override {
    hypervisor_->OnChange(std::move(changed));
  }
  absl::StatusOr<VmDescription> Describe(absl::string_view vm_uuid) override {
    return hypervisor_->Describe(vm_uuid);
  }
  absl::StatusOr<SnapshotResult> Snapshot(const SnapshotPlan& plan) override {
    VMKEEP_RETURN_IF_ERROR(FaultPoint("hypervisor.snapshot.before"));
    VMKEEP_ASSIGN_OR_RETURN(SnapshotResult result, hypervisor_->Snapshot(plan));
    VMKEEP_RETURN_IF_ERROR(FaultPoint("hypervisor.snapshot.after"));
    return result;
  }
  absl::Status Thaw(absl::string_view vm_uuid) override {
    VMKEEP_RETURN_IF_ERROR(FaultPoint("hypervisor.thaw.before"));
    VMKEEP_RETURN_IF_ERROR(hypervisor_->Thaw(vm_uuid));
    return FaultPoint("hypervisor.thaw.after");
  }
  absl::StatusOr<MergeStatus> GetMergeStatus(const OverlayDisk& disk) override {
    return hypervisor_->GetMergeStatus(disk);
  }
  absl::Status StartMerge(const OverlayDisk& disk) override {
    VMKEEP_RETURN_IF_ERROR(FaultPoint("hypervisor.start-merge.before"));
    VMKEEP_RETURN_IF_ERROR(hypervisor_->StartMerge(disk));
    return FaultPoint("hypervisor.start-merge.after");
  }
  absl::Status Pivot(const OverlayDisk& disk) override {
    VMKEEP_RETURN_IF_ERROR(FaultPoint("hypervisor.pivot.before"));
    VMKEEP_RETURN_IF_ERROR(hypervisor_->Pivot(disk));
    return FaultPoint("hypervisor.pivot.after");
  }
  absl::Status HelpMerge(const OverlayDisk& disk, const MergeHelp& help) override {
    VMKEEP_RETURN_IF_ERROR(FaultPoint("hypervisor.help-merge.before"));
    VMKEEP_RETURN_IF_ERROR(hypervisor_->HelpMerge(disk, help));
    return FaultPoint("hypervisor.help-merge.after");
  }
  absl::Status CommitOffline(const OverlayDisk& disk) override {
    VMKEEP_RETURN_IF_ERROR(FaultPoint("hypervisor.commit-offline.before"));
    VMKEEP_RETURN_IF_ERROR(hypervisor_->CommitOffline(disk));
    return FaultPoint("hypervisor.commit-offline.after");
  }
  absl::Status Restore(const VmDescription& before,
                       const std::vector<OverlayDisk>& disks) override {
    VMKEEP_RETURN_IF_ERROR(FaultPoint("hypervisor.restore.before"));
    VMKEEP_RETURN_IF_ERROR(hypervisor_->Restore(before, disks));
    return FaultPoint("hypervisor.restore.after");
  }
  absl::Status RemoveOverlay(const OverlayDisk& disk) override {
    VMKEEP_RETURN_IF_ERROR(FaultPoint("hypervisor.remove-overlay.before"));
    VMKEEP_RETURN_IF_ERROR(hypervisor_->RemoveOverlay(disk));
    return FaultPoint("hypervisor.remove-overlay.after");
  }
  absl::StatusOr<std::string> RestoreXml(const VmDescription& vm,
                                         const std::vector<RestoreFile>& files) override {
    return hypervisor_->RestoreXml(vm, files);
  }
  absl::Status StartExport(const ExportPlan& plan, const std::stop_token& stop) override {
    VMKEEP_RETURN_IF_ERROR(FaultPoint("hypervisor.start-export.before"));
    VMKEEP_RETURN_IF_ERROR(hypervisor_->StartExport(plan, stop));
    return FaultPoint("hypervisor.start-export.after");
  }
  absl::StatusOr<ExportStatus> GetExportStatus(const ExportPlan& plan) override {
    return hypervisor_->GetExportStatus(plan);
  }
  absl::Status EndExport(const ExportPlan& plan) override {
    VMKEEP_RETURN_IF_ERROR(FaultPoint("hypervisor.end-export.before"));
    VMKEEP_RETURN_IF_ERROR(hypervisor_->EndExport(plan));
    return FaultPoint("hypervisor.end-export.after");
  }

 private:
  const std::unique_ptr<Hypervisor> hypervisor_;
};

}  // namespace

std::unique_ptr<Hypervisor> WithFaultPoints(std::unique_ptr<Hypervisor> hypervisor) {
  if constexpr (!kFaultPoints) return hypervisor;
  return std::make_unique<FaultHypervisor>(std::move(hypervisor));
}

}  // namespace vmkeep::executor
