#ifndef VMKEEP_TESTS_UNIT_TASK_SCRIPTED_HYPERVISOR_H_
#define VMKEEP_TESTS_UNIT_TASK_SCRIPTED_HYPERVISOR_H_

#include "common/clock.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/hypervisor.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::executor::test {

class MockHypervisor : public Hypervisor {
 public:
  MOCK_METHOD(std::string, name, (), (const, override));
  MOCK_METHOD(bool, simulated, (), (const, override));
  MOCK_METHOD(BackupMethod, method, (), (const, override));
  MOCK_METHOD(absl::StatusOr<std::vector<VmSummary>>, ListVms, (), (override));
  MOCK_METHOD(void, OnChange, (std::function<void()>), (override));
  MOCK_METHOD(absl::StatusOr<VmDescription>, Describe, (absl::string_view), (override));
  MOCK_METHOD(absl::StatusOr<SnapshotResult>, Snapshot, (const SnapshotPlan&), (override));
  MOCK_METHOD(absl::Status, Thaw, (absl::string_view), (override));
  MOCK_METHOD(absl::StatusOr<MergeStatus>, GetMergeStatus, (const OverlayDisk&), (override));
  MOCK_METHOD(absl::Status, StartMerge, (const OverlayDisk&), (override));
  MOCK_METHOD(absl::Status, Pivot, (const OverlayDisk&), (override));
  MOCK_METHOD(absl::Status, HelpMerge, (const OverlayDisk&, const MergeHelp&), (override));
  MOCK_METHOD(absl::Status, CommitOffline, (const OverlayDisk&), (override));
  MOCK_METHOD(absl::Status, Restore, (const VmDescription&, const std::vector<OverlayDisk>&),
              (override));
  MOCK_METHOD(absl::Status, RemoveOverlay, (const OverlayDisk&), (override));
  MOCK_METHOD(absl::StatusOr<std::string>, RestoreXml,
              (const VmDescription&, const std::vector<RestoreFile>&), (override));
  MOCK_METHOD(absl::Status, StartExport, (const ExportPlan&, const std::stop_token&), (override));
  MOCK_METHOD(absl::StatusOr<ExportStatus>, GetExportStatus, (const ExportPlan&), (override));
  MOCK_METHOD(absl::Status, EndExport, (const ExportPlan&), (override));
};

// Does what another hypervisor does, but for what the test breaks. Used with NiceMock.
class BreakableHypervisor : public MockHypervisor {
 public:
  std::atomic<bool> pivot_fails = false;
  std::atomic<bool> unreachable = false;

  void DelegateTo(Hypervisor& real) {
    using ::testing::_;
    const auto up = [this](auto verb) {
      return [this, verb](const auto&... arguments) -> decltype(verb(arguments...)) {
        if (unreachable) return error::HypervisorUnavailable("broken by the test");
        return verb(arguments...);
      };
    };
    ON_CALL(*this, name).WillByDefault([&real] { return real.name(); });
    ON_CALL(*this, simulated).WillByDefault([&real] { return real.simulated(); });
    ON_CALL(*this, method).WillByDefault([&real] { return real.method(); });
    ON_CALL(*this, ListVms).WillByDefault(up([&real] { return real.ListVms(); }));
    ON_CALL(*this, Describe).WillByDefault(up([&real](absl::string_view vm) {
      return real.Describe(vm);
    }));
    ON_CALL(*this, Snapshot).WillByDefault(up([&real](const SnapshotPlan& plan) {
      return real.Snapshot(plan);
    }));
    ON_CALL(*this, Thaw).WillByDefault(up([&real](absl::string_view vm) { return real.Thaw(vm); }));
    ON_CALL(*this, GetMergeStatus).WillByDefault(up([&real](const OverlayDisk& disk) {
      return real.GetMergeStatus(disk);
    }));
    ON_CALL(*this, StartMerge).WillByDefault(up([&real](const OverlayDisk& disk) {
      return real.StartMerge(disk);
    }));
    ON_CALL(*this, Pivot).WillByDefault(up([this, &real](const OverlayDisk& disk) {
      return pivot_fails ? error::MergeFailed(disk.target, "broken by the test") : real.Pivot(disk);
    }));
    ON_CALL(*this, HelpMerge)
        .WillByDefault(up([&real](const OverlayDisk& disk, const MergeHelp& help) {
          return real.HelpMerge(disk, help);
        }));
    ON_CALL(*this, CommitOffline).WillByDefault(up([&real](const OverlayDisk& disk) {
      return real.CommitOffline(disk);
    }));
    ON_CALL(*this, Restore)
        .WillByDefault(
            up([&real](const VmDescription& before, const std::vector<OverlayDisk>& disks) {
              return real.Restore(before, disks);
            }));
    ON_CALL(*this, RemoveOverlay).WillByDefault(up([&real](const OverlayDisk& disk) {
      return real.RemoveOverlay(disk);
    }));
    ON_CALL(*this, RestoreXml)
        .WillByDefault(up([&real](const VmDescription& vm, const std::vector<RestoreFile>& files) {
          return real.RestoreXml(vm, files);
        }));
    ON_CALL(*this, StartExport)
        .WillByDefault(up([&real](const ExportPlan& plan, const std::stop_token& stop) {
          return real.StartExport(plan, stop);
        }));
    ON_CALL(*this, GetExportStatus).WillByDefault(up([&real](const ExportPlan& plan) {
      return real.GetExportStatus(plan);
    }));
    ON_CALL(*this, EndExport).WillByDefault(up([&real](const ExportPlan& plan) {
      return real.EndExport(plan);
    }));
  }
};

// A clock whose waits take no time: each moves it on to its end. For one thread.
class JumpingClock final : public Clock {
 public:
  absl::Time Now() override { return absl::FromUnixSeconds(1'750'000'000) + since_start_; }
  absl::Duration Monotonic() override { return since_start_; }
  bool WaitUntil(absl::Duration deadline, const std::stop_token& stop) override {
    if (stop.stop_requested()) return false;
    since_start_ = std::max(since_start_, deadline);
    ++waits_;
    return true;
  }
  int waits() const { return waits_; }

 private:
  absl::Duration since_start_;
  int waits_ = 0;
};

}  // namespace vmkeep::executor::test

#endif  // VMKEEP_TESTS_UNIT_TASK_SCRIPTED_HYPERVISOR_H_
