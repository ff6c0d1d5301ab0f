#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_LIBVIRT_HYPERVISOR_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_LIBVIRT_HYPERVISOR_H_

#include "common/clock.h"
#include "executor/hypervisor/hypervisor.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::executor {

struct LibvirtOptions {
  std::string uri = "qemu:///system";
  // How long one call may take. libvirt itself waits 30 s for a domain that is busy: less than that
  // hides its answer.
  absl::Duration call_timeout = absl::Seconds(60);
  // How long the guest's agent may take for one command. The guest stands still meanwhile.
  absl::Duration agent_timeout = absl::Seconds(5);
  // How long an offline merge may take: it moves as much as the guest wrote during the copy.
  absl::Duration commit_timeout = absl::Hours(6);
  std::string qemu_img = "qemu-img";
  // Called after each connection that was opened, the first included; must not block.
  std::function<void()> on_connected = {};
  // The administrator lets QEMU's AppArmor profile write to the disks: see libvirt/preflight.h.
  bool apparmor_allowed = false;
};

namespace libvirt {
class Connection;
class MergeWatch;
}  // namespace libvirt

// KVM under libvirt, on this host. The sequence of calls and its reasons: docs/adr/0007.
// Thread-safe; calls block for about call_timeout at the most, CommitOffline() for commit_timeout.
class LibvirtHypervisor final : public OverlayHypervisor {
 public:
  static absl::StatusOr<std::unique_ptr<Hypervisor>> Open(LibvirtOptions options,
                                                          Clock& clock = RealClock());
  ~LibvirtHypervisor() override;

  std::string name() const override { return "libvirt"; }
  bool simulated() const override { return false; }
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

 private:
  LibvirtHypervisor(LibvirtOptions options, Clock& clock,
                    std::unique_ptr<libvirt::Connection> connection,
                    std::shared_ptr<libvirt::MergeWatch> merges);

  // snapshot.cc
  absl::StatusOr<SnapshotResult> SnapshotUnderPolicy(const SnapshotPlan& plan);
  absl::StatusOr<SnapshotResult> SnapshotFrozen(const SnapshotPlan& plan);
  absl::StatusOr<SnapshotResult> SnapshotWithout(const SnapshotPlan& plan, std::string detail);
  absl::Status CreateSnapshot(const SnapshotPlan& plan, bool quiesce);
  absl::Status CheckPlan(const SnapshotPlan& plan);
  absl::StatusOr<std::string> WhyNoFreeze(const std::string& vm_uuid);
  absl::Status VerifyOnOverlays(const SnapshotPlan& plan);
  bool StillOnBases(const SnapshotPlan& plan);

  // thaw.cc
  absl::Status ThawOnce(const std::string& vm_uuid);
  absl::Status ThawWithin(const std::string& vm_uuid, absl::Duration budget);

  // merge.cc
  absl::StatusOr<MergeStatus> Observe(const OverlayDisk& disk);

  // merge_proof.cc
  absl::Status ProveMerged(const OverlayDisk& disk);

  // restore.cc
  absl::Status PutDefinitionBack(const VmDescription& before,
                                 const std::vector<OverlayDisk>& disks);

  const LibvirtOptions options_;
  Clock& clock_;
  const std::shared_ptr<libvirt::MergeWatch> merges_;
  const std::unique_ptr<libvirt::Connection> connection_;
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_LIBVIRT_HYPERVISOR_H_
