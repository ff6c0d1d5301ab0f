#ifndef VMKEEP_EXECUTOR_TASK_LATE_HYPERVISOR_H_
#define VMKEEP_EXECUTOR_TASK_LATE_HYPERVISOR_H_

#include "common/clock.h"
#include "common/mutex.h"
#include "executor/hypervisor/hypervisor.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace vmkeep::executor {

// A hypervisor that may not be there yet: the executor serves, and its recovery waits, while this
// goes on trying to reach it. Until then every verb is UNAVAILABLE, HYPERVISOR_UNAVAILABLE.
// Thread-safe.
class LateHypervisor final : public Hypervisor {
 public:
  using Open = std::function<absl::StatusOr<std::unique_ptr<Hypervisor>>()>;

  // Tries once before it returns, then in the background with growing delays. `simulated`: as long
  // as it is not there.
  LateHypervisor(std::string name, BackupMethod method, bool simulated, Clock& clock, Open open);

  std::string name() const override { return name_; }
  bool simulated() const override ABSL_LOCKS_EXCLUDED(mu_);
  BackupMethod method() const override { return method_; }
  absl::StatusOr<std::vector<VmSummary>> ListVms() override;
  void OnChange(std::function<void()> changed) override;
  absl::StatusOr<VmDescription> Describe(absl::string_view vm_uuid) override;
  absl::StatusOr<SnapshotResult> Snapshot(const SnapshotPlan& plan) override;
  absl::Status Thaw(absl::string_view vm_uuid) override;
  absl::StatusOr<MergeStatus> GetMergeStatus(const OverlayDisk& disk) override;
  absl::Status StartMerge(const OverlayDisk& disk) override;
  absl::Status Pivot(const OverlayDisk& disk) override;
  absl::Status HelpMerge(const OverlayDisk& disk, const MergeHelp& help) override;
  absl::Status CommitOffline(const OverlayDisk& disk) override;
  absl::Status Restore(const VmDescription& before, const std::vector<OverlayDisk>& disks) override;
  absl::Status RemoveOverlay(const OverlayDisk& disk) override;
  absl::StatusOr<std::string> RestoreXml(const VmDescription& vm,
                                         const std::vector<RestoreFile>& files) override;
  absl::Status StartExport(const ExportPlan& plan, const std::stop_token& stop) override;
  absl::StatusOr<ExportStatus> GetExportStatus(const ExportPlan& plan) override;
  absl::Status EndExport(const ExportPlan& plan) override;

 private:
  bool TryOpen() ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<Hypervisor*> Get() ABSL_LOCKS_EXCLUDED(mu_);

  const std::string name_;
  const BackupMethod method_;
  const bool simulated_;
  Clock& clock_;
  const Open open_;
  mutable Mutex mu_;
  std::unique_ptr<Hypervisor> opened_ ABSL_GUARDED_BY(mu_);  // set once
  absl::Status why_not_ ABSL_GUARDED_BY(mu_);
  std::function<void()> changed_ ABSL_GUARDED_BY(mu_);
  std::jthread opening_;  // last: it uses the rest
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_LATE_HYPERVISOR_H_
