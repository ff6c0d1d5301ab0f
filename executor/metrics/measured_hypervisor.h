#ifndef VMKEEP_EXECUTOR_METRICS_MEASURED_HYPERVISOR_H_
#define VMKEEP_EXECUTOR_METRICS_MEASURED_HYPERVISOR_H_

#include "common/clock.h"
#include "common/metrics/registry.h"
#include "common/mutex.h"
#include "executor/hypervisor/hypervisor.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace vmkeep::executor {

// A Hypervisor whose snapshots and merges are timed, and which remembers the overlays that it saw
// last, for a scrape that must not ask libvirt. Thread-safe.
class MeasuredHypervisor final : public Hypervisor {
 public:
  // An overlay as ListVms() last found it.
  struct Seen {
    std::string vm_uuid;
    std::string vm_name;
    std::string target;
    std::string overlay;
    absl::Time first_seen;
  };

  MeasuredHypervisor(std::unique_ptr<Hypervisor> hypervisor, metrics::Registry& registry,
                     Clock& clock)
      : hypervisor_(std::move(hypervisor)), registry_(registry), clock_(clock) {}

  std::vector<Seen> SeenOverlays() ABSL_LOCKS_EXCLUDED(mu_);
  // Whether the last ListVms() was answered.
  bool reachable() ABSL_LOCKS_EXCLUDED(mu_);

  std::string name() const override { return hypervisor_->name(); }
  bool simulated() const override { return hypervisor_->simulated(); }
  BackupMethod method() const override { return hypervisor_->method(); }
  absl::StatusOr<std::vector<VmSummary>> ListVms() override;
  void OnChange(std::function<void()> changed) override {
    hypervisor_->OnChange(std::move(changed));
  }
  absl::StatusOr<VmDescription> Describe(absl::string_view vm_uuid) override {
    return hypervisor_->Describe(vm_uuid);
  }
  absl::StatusOr<SnapshotResult> Snapshot(const SnapshotPlan& plan) override;
  absl::Status Thaw(absl::string_view vm_uuid) override { return hypervisor_->Thaw(vm_uuid); }
  absl::StatusOr<MergeStatus> GetMergeStatus(const OverlayDisk& disk) override {
    return hypervisor_->GetMergeStatus(disk);
  }
  absl::Status StartMerge(const OverlayDisk& disk) override;
  absl::Status Pivot(const OverlayDisk& disk) override;
  absl::Status HelpMerge(const OverlayDisk& disk, const MergeHelp& help) override {
    return hypervisor_->HelpMerge(disk, help);
  }
  absl::Status CommitOffline(const OverlayDisk& disk) override;
  absl::Status Restore(const VmDescription& before,
                       const std::vector<OverlayDisk>& disks) override {
    return hypervisor_->Restore(before, disks);
  }
  absl::Status RemoveOverlay(const OverlayDisk& disk) override {
    return hypervisor_->RemoveOverlay(disk);
  }
  absl::StatusOr<std::string> RestoreXml(const VmDescription& vm,
                                         const std::vector<RestoreFile>& files) override {
    return hypervisor_->RestoreXml(vm, files);
  }
  absl::Status StartExport(const ExportPlan& plan, const std::stop_token& stop) override {
    return hypervisor_->StartExport(plan, stop);
  }
  absl::StatusOr<ExportStatus> GetExportStatus(const ExportPlan& plan) override {
    return hypervisor_->GetExportStatus(plan);
  }
  absl::Status EndExport(const ExportPlan& plan) override { return hypervisor_->EndExport(plan); }

 private:
  void MergeBegins(const OverlayDisk& disk) ABSL_LOCKS_EXCLUDED(mu_);
  void MergeEnds(const OverlayDisk& disk) ABSL_LOCKS_EXCLUDED(mu_);

  const std::unique_ptr<Hypervisor> hypervisor_;
  metrics::Registry& registry_;
  Clock& clock_;
  Mutex mu_;
  std::vector<Seen> seen_ ABSL_GUARDED_BY(mu_);
  bool reachable_ ABSL_GUARDED_BY(mu_) = false;
  std::map<std::string, absl::Duration> merging_ ABSL_GUARDED_BY(mu_);  // overlay -> since
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_METRICS_MEASURED_HYPERVISOR_H_
