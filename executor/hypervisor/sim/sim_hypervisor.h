#ifndef VMKEEP_EXECUTOR_HYPERVISOR_SIM_SIM_HYPERVISOR_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_SIM_SIM_HYPERVISOR_H_

#include "common/mutex.h"
#include "executor/hypervisor/hypervisor.h"
#include "executor/hypervisor/sim/sim_vm.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <functional>
#include <string>
#include <vector>

namespace vmkeep::executor {

// A hypervisor that has no VMs, only their files: each VM is a folder below one folder, with
// vm.json and the disks. Every verb reads and writes these files, so a process that is killed and
// comes up again finds what a real host would have: overlays, a frozen guest, a merge under way.
// One process at a time. Thread-safe; a lock is held over the small files of one verb.
class SimHypervisor final : public OverlayHypervisor {
 public:
  // `folder` exists.
  explicit SimHypervisor(std::string folder);

  std::string name() const override { return "sim"; }
  bool simulated() const override { return true; }
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

  // What happens to a VM behind its back.
  absl::Status SetPower(absl::string_view vm_uuid, PowerState power);
  // See SimDisk::outruns.
  absl::Status SetOutruns(absl::string_view vm_uuid, absl::string_view target, int outruns);
  // What is done to the guest for a merge now.
  absl::StatusOr<MergeHelp> HelpOf(absl::string_view vm_uuid, absl::string_view target);
  absl::Status GuestWrite(absl::string_view vm_uuid, absl::string_view target, int64_t offset,
                          absl::string_view bytes);

 private:
  absl::StatusOr<SimVm> Load(absl::string_view vm_uuid) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<std::vector<SimVm>> LoadAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The VM and its disk that is on this overlay; no disk when it is on its base.
  struct Found {
    SimVm vm;
    SimDisk* disk = nullptr;
  };
  absl::StatusOr<Found> Find(const OverlayDisk& disk) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string folder_;
  Mutex mu_;
  std::function<void()> changed_ ABSL_GUARDED_BY(mu_);
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_SIM_SIM_HYPERVISOR_H_
