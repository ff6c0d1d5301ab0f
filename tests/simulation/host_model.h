#ifndef VMKEEP_TESTS_SIMULATION_HOST_MODEL_H_
#define VMKEEP_TESTS_SIMULATION_HOST_MODEL_H_

#include "executor/hypervisor/hypervisor.h"
#include "tests/simulation/nas_model.h"
#include "tests/simulation/trace.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace vmkeep::sim {

// A live block commit: copies the overlay down, then keeps both alike until it is ended.
struct MergeJob {
  std::set<int> to_copy;
  bool ready() const { return to_copy.empty(); }
};

struct DiskModel {
  std::string target;
  Blocks base = {};
  std::string overlay;            // the file that live and inactive XML name; empty: the base
  std::optional<MergeJob> merge;  // of a running VM
  Blocks written = {};            // what the guest was told is on the disk
};

struct VmModel {
  std::string uuid;
  std::string name;
  bool on = true;
  int64_t writes = 0;
  std::vector<DiskModel> disks;
  std::string definition;      // stands for all of the XML that is not a disk's file
  absl::Duration merge_tried;  // when the last verb of the safe direction came

  bool OnOverlay() const;
  Blocks Read(const DiskModel& disk,
              const std::map<std::string, std::map<int, int64_t>>& overlays) const;
};

// A host with its VMs and their chains: what outlives the executor, and the verbs that libvirt
// offers. All verbs look and act at one instant.
class HostModel final : public executor::OverlayHypervisor {
 public:
  // `unlinked` hears of each overlay file that goes. `frozen` of what each disk held at a snapshot.
  struct Watch {
    std::function<void(const std::string& overlay)> unlinked;
    std::function<void(const std::string& task, const std::map<std::string, Blocks>& disks)> taken;
  };
  HostModel(Base& base, std::string id) : id(std::move(id)), base_(base) {}

  const std::string id;
  bool up = true;                      // the machine runs
  int boot = 0;                        // how often it was booted
  bool libvirt_up = true;              // libvirtd answers; VMs and merges go on without it
  std::map<std::string, VmModel> vms;  // by UUID
  std::map<std::string, std::map<int, int64_t>> overlays;  // files, by path
  Watch watch;

  // The guest writes a block of a disk and is told that it is done.
  void GuestWrites(VmModel& vm, int disk, int block);
  void PowerOn(VmModel& vm);
  void PowerOff(VmModel& vm);  // also a crash of QEMU: merges under way are gone
  void GoDown();               // power cut: VMs off, libvirtd gone

  // executor::Hypervisor.
  std::string name() const override { return "sim"; }
  bool simulated() const override { return true; }
  absl::StatusOr<std::vector<executor::VmSummary>> ListVms() override;
  void OnChange(std::function<void()>) override {}
  absl::StatusOr<executor::VmDescription> Describe(absl::string_view vm_uuid) override;
  absl::StatusOr<executor::SnapshotResult> Snapshot(const executor::SnapshotPlan& plan) override;
  absl::Status Thaw(absl::string_view vm_uuid) override;
  absl::StatusOr<executor::MergeStatus> GetMergeStatus(const executor::OverlayDisk& disk) override;
  absl::Status StartMerge(const executor::OverlayDisk& disk) override;
  absl::Status Pivot(const executor::OverlayDisk& disk) override;
  // No guest outruns its merge here: there is nothing to do, nor to take back.
  absl::Status HelpMerge(const executor::OverlayDisk& disk,
                         const executor::MergeHelp& help) override;
  absl::Status CommitOffline(const executor::OverlayDisk& disk) override;
  absl::Status Restore(const executor::VmDescription& before,
                       const std::vector<executor::OverlayDisk>& disks) override;
  absl::Status RemoveOverlay(const executor::OverlayDisk& disk) override;
  absl::StatusOr<std::string> RestoreXml(const executor::VmDescription& vm,
                                         const std::vector<RestoreFile>& files) override;

 private:
  void MoveMerge(const std::string& uuid, const std::string& target);  // by one block
  struct Place {
    VmModel* vm = nullptr;
    DiskModel* disk = nullptr;
  };
  absl::Status Reachable() const;
  absl::StatusOr<Place> Find(const executor::OverlayDisk& disk);

  Base& base_;
};

}  // namespace vmkeep::sim

#endif  // VMKEEP_TESTS_SIMULATION_HOST_MODEL_H_
