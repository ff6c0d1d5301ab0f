#ifndef VMKEEP_TESTS_CONTRACT_HYPERVISOR_HYPERVISOR_CONTRACT_H_
#define VMKEEP_TESTS_CONTRACT_HYPERVISOR_HYPERVISOR_CONTRACT_H_

#include "common/error.h"
#include "common/uuid.h"
#include "executor/hypervisor/hypervisor.h"
#include "tests/contract/hypervisor/look_contract.h"

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

// What executor/hypervisor/hypervisor.h promises of BackupMethod::kOverlays, as tests that every
// such backend passes, besides those of look_contract.h:
//
//   INSTANTIATE_TEST_SUITE_P(Sim, HypervisorContract,
//   ::testing::Values(FixtureFactory(&MakeSimFixture)));
//
// in one source of the test binary, inside namespace vmkeep::executor.
namespace vmkeep::executor {

// A VM as the look contract has it, with overlays, and what the tests do to it behind its back.
//
// The VM runs, has an inactive definition, no guest agent, and exactly two disks: "vda" (raw) and
// "vdb" (qcow2), each at least 1 MiB, self-contained and zero at the places that GuestWrites()
// writes to.
class HypervisorFixture : public LookFixture {
 public:
  // The running guest writes `value` to a place of its own for each (target, slot), slots 0 to 7,
  // and flushes.
  virtual void GuestWrites(const std::string& target, int slot, uint8_t value) = 0;

  // Looks at host files. ValueInBase: what the image `base` alone holds at the place of `slot`,
  // whatever lies above it.
  virtual void CreateFile(const std::string& path) = 0;  // with some bytes of content
  virtual uint8_t ValueInBase(const std::string& base, const std::string& format, int slot) = 0;
};

// Makes a fixture; null where the machine has not what it takes: the tests are skipped then.
using FixtureFactory = std::function<std::unique_ptr<HypervisorFixture>()>;

class HypervisorContract : public ::testing::TestWithParam<FixtureFactory> {
 protected:
  void SetUp() override {
    fixture_ = GetParam()();
    if (fixture_ == nullptr) GTEST_SKIP() << "this machine cannot run the backend";
  }

  Hypervisor& hypervisor() { return fixture_->hypervisor(); }
  std::string uuid() { return fixture_->vm_uuid(); }

  VmDescription Describe() {
    absl::StatusOr<VmDescription> vm = hypervisor().Describe(uuid());
    EXPECT_TRUE(vm.ok()) << vm.status();
    return vm.ok() ? *std::move(vm) : VmDescription{};
  }

  static SnapshotPlan PlanFor(const VmDescription& vm,
                              QuiescePolicy quiesce = QuiescePolicy::kNever) {
    SnapshotPlan plan{.vm_uuid = vm.uuid, .disks = {}, .untouched = {}, .quiesce = quiesce};
    const std::string task = NewUuid7(absl::Now());
    for (const Disk& disk : vm.disks) {
      plan.disks.push_back({.vm_uuid = vm.uuid,
                            .target = disk.target,
                            .base = disk.source,
                            .base_format = disk.format,
                            .overlay = OverlayPath(disk.source, task)});
    }
    for (const ExcludedDisk& disk : vm.excluded) plan.untouched.push_back(disk.target);
    return plan;
  }

  // Describe and Snapshot, as a task does.
  std::pair<VmDescription, SnapshotPlan> OntoOverlays() {
    VmDescription vm = Describe();
    SnapshotPlan plan = PlanFor(vm);
    const absl::StatusOr<SnapshotResult> result = hypervisor().Snapshot(plan);
    EXPECT_TRUE(result.ok()) << result.status();
    return {std::move(vm), std::move(plan)};
  }

  MergePhase PhaseOf(const OverlayDisk& disk) {
    const absl::StatusOr<MergeStatus> status = hypervisor().GetMergeStatus(disk);
    EXPECT_TRUE(status.ok()) << status.status();
    return status.ok() ? status->phase : MergePhase::kNone;
  }

  // Asks until the phase is there.
  bool AwaitPhase(const OverlayDisk& disk, MergePhase phase) {
    return Eventually([&] { return PhaseOf(disk) == phase; });
  }

  void MergeLive(const OverlayDisk& disk) {
    ASSERT_TRUE(hypervisor().StartMerge(disk).ok());
    ASSERT_TRUE(AwaitPhase(disk, MergePhase::kReady)) << disk.target;
    absl::Status pivot;
    ASSERT_TRUE(Eventually([&] {
      pivot = hypervisor().Pivot(disk);
      return ErrorReason(pivot) != "MERGE_NOT_READY";
    }));
    ASSERT_TRUE(pivot.ok()) << pivot;
    EXPECT_EQ(PhaseOf(disk), MergePhase::kMerged);
  }

  void RestoreAndRemove(const VmDescription& before, const SnapshotPlan& plan) {
    const absl::Status restored = hypervisor().Restore(before, plan.disks);
    ASSERT_TRUE(restored.ok()) << restored;
    for (const OverlayDisk& disk : plan.disks) {
      const absl::Status removed = hypervisor().RemoveOverlay(disk);
      EXPECT_TRUE(removed.ok()) << removed;
      EXPECT_FALSE(fixture_->FileExists(disk.overlay));
    }
  }

  std::optional<VmSummary> Listed() {
    absl::StatusOr<std::vector<VmSummary>> vms = hypervisor().ListVms();
    EXPECT_TRUE(vms.ok()) << vms.status();
    if (!vms.ok()) return std::nullopt;
    const auto found = std::find_if(vms->begin(), vms->end(),
                                    [&](const VmSummary& vm) { return vm.uuid == uuid(); });
    if (found == vms->end()) return std::nullopt;
    return *found;
  }
  bool OnOverlay() {
    const std::optional<VmSummary> vm = Listed();
    return vm && !vm->overlays.empty();
  }

  std::unique_ptr<HypervisorFixture> fixture_;
};

TEST_P(HypervisorContract, HelpForAMergeIsGivenAndTakenBackAtAnyTime) {
  const auto [vm, plan] = OntoOverlays();
  const OverlayDisk& disk = plan.disks.front();
  const MergeHelp limit{.full_speed = false, .write_bytes_per_second = 8 << 20, .suspended = false};
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(hypervisor().HelpMerge(disk, limit).ok());
  MergeHelp more = limit;
  more.suspended = true;
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(hypervisor().HelpMerge(disk, more).ok());
  for (const OverlayDisk& each : plan.disks) MergeLive(each);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(hypervisor().HelpMerge(disk, {}).ok());
  EXPECT_EQ(Listed()->power, PowerState::kOn);
  RestoreAndRemove(vm, plan);

  fixture_->PowerOff();
  EXPECT_TRUE(hypervisor().HelpMerge(disk, limit).ok());
  EXPECT_TRUE(hypervisor().HelpMerge(disk, {}).ok());
}

TEST_P(HypervisorContract, DescribesDisksAndDefinitions) {
  const VmDescription vm = Describe();
  EXPECT_EQ(vm.uuid, uuid());
  EXPECT_FALSE(vm.name.empty());
  EXPECT_EQ(vm.power, PowerState::kOn);
  EXPECT_FALSE(vm.live_xml.empty());
  EXPECT_FALSE(vm.inactive_xml.empty());
  ASSERT_EQ(vm.disks.size(), 2u);
  EXPECT_EQ(vm.disks[0].target, "vda");
  EXPECT_EQ(vm.disks[0].format, "raw");
  EXPECT_EQ(vm.disks[1].target, "vdb");
  EXPECT_EQ(vm.disks[1].format, "qcow2");
  for (const Disk& disk : vm.disks) {
    EXPECT_TRUE(absl::StartsWith(disk.source, "/")) << disk.source;
    EXPECT_TRUE(fixture_->FileExists(disk.source)) << disk.source;
    EXPECT_GE(disk.virtual_bytes, int64_t{1} << 20);
    EXPECT_NE(disk.ino, 0u);
  }
}

TEST_P(HypervisorContract, DescribeChangesNothing) {
  const VmDescription first = Describe();
  const VmDescription second = Describe();
  EXPECT_EQ(first.inactive_xml, second.inactive_xml);
  EXPECT_EQ(first.live_xml, second.live_xml);
  EXPECT_FALSE(OnOverlay());
}

TEST_P(HypervisorContract, UnknownVmIsSaidToBeUnknown) {
  const OverlayDisk disk{kUnknownVm, "vda", "/nowhere/a.raw", "raw",
                         OverlayPath("/nowhere/a.raw", kUnknownVm)};
  EXPECT_EQ(ErrorReason(hypervisor().Describe(kUnknownVm).status()), "VM_NOT_FOUND");
  EXPECT_EQ(
      ErrorReason(hypervisor().Snapshot({kUnknownVm, {disk}, {}, QuiescePolicy::kNever}).status()),
      "VM_NOT_FOUND");
  EXPECT_EQ(ErrorReason(hypervisor().GetMergeStatus(disk).status()), "VM_NOT_FOUND");
  EXPECT_EQ(ErrorReason(hypervisor().StartMerge(disk)), "VM_NOT_FOUND");
  EXPECT_EQ(ErrorReason(hypervisor().Pivot(disk)), "VM_NOT_FOUND");
}

TEST_P(HypervisorContract, SnapshotMovesAllDisksOntoOverlays) {
  const absl::Time before = absl::Now();
  const VmDescription vm = Describe();
  const SnapshotPlan plan = PlanFor(vm);
  const absl::StatusOr<SnapshotResult> result = hypervisor().Snapshot(plan);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->consistency, Consistency::kCrash);  // no freeze was asked for
  EXPECT_GE(result->instant, before - absl::Minutes(1));

  const std::optional<VmSummary> listed = Listed();
  ASSERT_TRUE(listed.has_value());
  ASSERT_EQ(listed->overlays.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(listed->overlays[i].vm_uuid, vm.uuid);
    EXPECT_EQ(listed->overlays[i].target, plan.disks[i].target);
    EXPECT_EQ(listed->overlays[i].overlay, plan.disks[i].overlay);
    EXPECT_EQ(listed->overlays[i].base, plan.disks[i].base);
    EXPECT_EQ(listed->overlays[i].base_format, plan.disks[i].base_format);
    EXPECT_TRUE(fixture_->FileExists(plan.disks[i].overlay));
    EXPECT_EQ(PhaseOf(plan.disks[i]), MergePhase::kNone);
  }
}

TEST_P(HypervisorContract, VmOnAnOverlayIsNotDescribed) {
  const auto [vm, plan] = OntoOverlays();
  const absl::Status status = hypervisor().Describe(uuid()).status();
  EXPECT_EQ(ErrorReason(status), "VM_ON_OVERLAY") << status;
  EXPECT_THAT(ErrorDetails(status)["files"], ::testing::HasSubstr(plan.disks[0].overlay));
}

TEST_P(HypervisorContract, OverlayNameInUseIsRefusedAndNothingChanged) {
  const VmDescription vm = Describe();
  const SnapshotPlan plan = PlanFor(vm);
  fixture_->CreateFile(plan.disks[1].overlay);
  EXPECT_FALSE(hypervisor().Snapshot(plan).ok());
  EXPECT_FALSE(OnOverlay());
  EXPECT_FALSE(fixture_->FileExists(plan.disks[0].overlay)) << "an overlay is left behind";
  EXPECT_TRUE(fixture_->FileExists(plan.disks[1].overlay)) << "a file that was not ours is gone";
  EXPECT_EQ(Describe().inactive_xml, vm.inactive_xml);
}

TEST_P(HypervisorContract, RequiredQuiesceWithoutAgentFailsAndChangesNothing) {
  const VmDescription vm = Describe();
  const SnapshotPlan plan = PlanFor(vm, QuiescePolicy::kRequired);
  const absl::Status status = hypervisor().Snapshot(plan).status();
  EXPECT_EQ(ErrorReason(status), "QUIESCE_FAILED") << status;
  EXPECT_FALSE(OnOverlay());
  for (const OverlayDisk& disk : plan.disks) EXPECT_FALSE(fixture_->FileExists(disk.overlay));
}

TEST_P(HypervisorContract, QuiesceIfAvailableGoesOnWithoutAgentAndSaysSo) {
  const VmDescription vm = Describe();
  const absl::StatusOr<SnapshotResult> result =
      hypervisor().Snapshot(PlanFor(vm, QuiescePolicy::kIfAvailable));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->consistency, Consistency::kCrash);
  EXPECT_FALSE(result->quiesce_detail.empty());
  EXPECT_TRUE(OnOverlay());
}

TEST_P(HypervisorContract, BaseStandsStillAndGetsTheWritesByTheMerge) {
  fixture_->GuestWrites("vda", 0, 0x11);
  fixture_->GuestWrites("vdb", 0, 0x12);
  const auto [vm, plan] = OntoOverlays();
  fixture_->GuestWrites("vda", 1, 0x21);
  fixture_->GuestWrites("vdb", 1, 0x22);
  fixture_->GuestWrites("vda", 0, 0x31);
  // The copy is made of these:
  EXPECT_EQ(fixture_->ValueInBase(vm.disks[0].source, "raw", 0), 0x11);
  EXPECT_EQ(fixture_->ValueInBase(vm.disks[1].source, "qcow2", 0), 0x12);
  EXPECT_EQ(fixture_->ValueInBase(vm.disks[0].source, "raw", 1), 0);
  EXPECT_EQ(fixture_->ValueInBase(vm.disks[1].source, "qcow2", 1), 0);

  for (const OverlayDisk& disk : plan.disks) MergeLive(disk);
  RestoreAndRemove(vm, plan);
  EXPECT_EQ(fixture_->ValueInBase(vm.disks[0].source, "raw", 0), 0x31);
  EXPECT_EQ(fixture_->ValueInBase(vm.disks[0].source, "raw", 1), 0x21);
  EXPECT_EQ(fixture_->ValueInBase(vm.disks[1].source, "qcow2", 0), 0x12);
  EXPECT_EQ(fixture_->ValueInBase(vm.disks[1].source, "qcow2", 1), 0x22);
}

// AppArmor denies the second commit on some hosts; anything that a merge leaves behind shows here.
TEST_P(HypervisorContract, TwoBackupsInARow) {
  const VmDescription first = Describe();
  for (int round = 0; round < 2; ++round) {
    const auto [vm, plan] = OntoOverlays();
    for (const OverlayDisk& disk : plan.disks) MergeLive(disk);
    RestoreAndRemove(vm, plan);
    EXPECT_FALSE(OnOverlay());
  }
  const VmDescription last = Describe();
  EXPECT_EQ(last.inactive_xml, first.inactive_xml);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(last.disks[i].source, first.disks[i].source);
    EXPECT_EQ(last.disks[i].ino, first.disks[i].ino);
    EXPECT_EQ(last.disks[i].uid, first.disks[i].uid);
    EXPECT_EQ(last.disks[i].mode, first.disks[i].mode);
  }
}

TEST_P(HypervisorContract, MergeVerbsMayBeRepeated) {
  const auto [vm, plan] = OntoOverlays();
  for (const OverlayDisk& disk : plan.disks) {
    EXPECT_TRUE(hypervisor().StartMerge(disk).ok());
    EXPECT_TRUE(hypervisor().StartMerge(disk).ok()) << "a merge that runs is as good as started";
    MergeLive(disk);
    EXPECT_TRUE(hypervisor().StartMerge(disk).ok()) << "nothing left to do";
    EXPECT_TRUE(hypervisor().Pivot(disk).ok()) << "nothing left to do";
  }
  RestoreAndRemove(vm, plan);
  EXPECT_TRUE(hypervisor().Restore(vm, plan.disks).ok());
  for (const OverlayDisk& disk : plan.disks) {
    EXPECT_EQ(PhaseOf(disk), MergePhase::kMerged);
    EXPECT_TRUE(hypervisor().RemoveOverlay(disk).ok()) << "absent is OK";
  }
}

TEST_P(HypervisorContract, PivotWithoutAMergeIsNotReady) {
  const auto [vm, plan] = OntoOverlays();
  EXPECT_EQ(ErrorReason(hypervisor().Pivot(plan.disks[0])), "MERGE_NOT_READY");
  EXPECT_EQ(PhaseOf(plan.disks[0]), MergePhase::kNone);
}

TEST_P(HypervisorContract, OverlayInUseIsNeitherRemovedNorRestoredOver) {
  const auto [vm, plan] = OntoOverlays();
  EXPECT_EQ(ErrorReason(hypervisor().Restore(vm, plan.disks)), "VM_ON_OVERLAY");
  EXPECT_EQ(ErrorReason(hypervisor().RemoveOverlay(plan.disks[0])), "VM_ON_OVERLAY");
  MergeLive(plan.disks[0]);
  EXPECT_EQ(ErrorReason(hypervisor().Restore(vm, plan.disks)), "VM_ON_OVERLAY")
      << "one of two is merged";
  EXPECT_EQ(ErrorReason(hypervisor().RemoveOverlay(plan.disks[1])), "VM_ON_OVERLAY");
  EXPECT_TRUE(fixture_->FileExists(plan.disks[1].overlay));
}

TEST_P(HypervisorContract, VmThatWentOffIsMergedOffline) {
  const auto [vm, plan] = OntoOverlays();
  fixture_->GuestWrites("vda", 2, 0x41);
  fixture_->GuestWrites("vdb", 2, 0x42);
  fixture_->PowerOff();
  for (const OverlayDisk& disk : plan.disks) {
    EXPECT_EQ(PhaseOf(disk), MergePhase::kOffline);
    EXPECT_FALSE(hypervisor().StartMerge(disk).ok()) << "there is nobody to merge it live";
    EXPECT_EQ(ErrorReason(hypervisor().RemoveOverlay(disk)), "VM_ON_OVERLAY");
    for (int time = 0; time < 2; ++time) {
      const absl::Status status = hypervisor().CommitOffline(disk);
      EXPECT_TRUE(status.ok()) << status;
    }
    EXPECT_TRUE(fixture_->FileExists(disk.overlay)) << "the overlay is the second chance";
    EXPECT_EQ(PhaseOf(disk), MergePhase::kOffline) << "the definition is put back by Restore()";
  }
  RestoreAndRemove(vm, plan);
  for (const OverlayDisk& disk : plan.disks) EXPECT_EQ(PhaseOf(disk), MergePhase::kMerged);
  EXPECT_EQ(fixture_->ValueInBase(vm.disks[0].source, "raw", 2), 0x41);
  EXPECT_EQ(fixture_->ValueInBase(vm.disks[1].source, "qcow2", 2), 0x42);

  fixture_->PowerOn();
  EXPECT_EQ(Describe().inactive_xml, vm.inactive_xml);
}

TEST_P(HypervisorContract, VmThatWasRestartedOnItsOverlayIsMergedLive) {
  const auto [vm, plan] = OntoOverlays();
  fixture_->GuestWrites("vda", 3, 0x51);
  fixture_->PowerOff();
  fixture_->PowerOn();
  for (const OverlayDisk& disk : plan.disks) {
    EXPECT_EQ(PhaseOf(disk), MergePhase::kNone);
    EXPECT_FALSE(hypervisor().CommitOffline(disk).ok()) << "the guest writes to it";
    MergeLive(disk);
  }
  RestoreAndRemove(vm, plan);
  EXPECT_EQ(fixture_->ValueInBase(vm.disks[0].source, "raw", 3), 0x51);
  EXPECT_EQ(Describe().inactive_xml, vm.inactive_xml);
}

TEST_P(HypervisorContract, StoppedVmIsBackedUpWithoutBeingStarted) {
  fixture_->GuestWrites("vda", 4, 0x61);
  fixture_->PowerOff();
  const VmDescription vm = Describe();
  EXPECT_EQ(vm.power, PowerState::kOff);
  EXPECT_EQ(vm.live_xml, "");
  EXPECT_FALSE(vm.inactive_xml.empty());
  const SnapshotPlan plan = PlanFor(vm, QuiescePolicy::kRequired);
  const absl::StatusOr<SnapshotResult> result = hypervisor().Snapshot(plan);
  ASSERT_TRUE(result.ok()) << result.status() << ": nobody is there to be frozen";
  EXPECT_FALSE(result->quiesce_detail.empty());
  EXPECT_TRUE(OnOverlay()) << "a start at any time must not touch the bases";
  for (const OverlayDisk& disk : plan.disks) {
    EXPECT_EQ(PhaseOf(disk), MergePhase::kOffline);
    const absl::Status status = hypervisor().CommitOffline(disk);
    EXPECT_TRUE(status.ok()) << status;
  }
  RestoreAndRemove(vm, plan);
  EXPECT_EQ(fixture_->ValueInBase(vm.disks[0].source, "raw", 4), 0x61);
  const VmDescription after = Describe();
  EXPECT_EQ(after.power, PowerState::kOff);
  EXPECT_EQ(after.inactive_xml, vm.inactive_xml);
  EXPECT_EQ(after.disks[0].uid, vm.disks[0].uid);
  EXPECT_EQ(after.disks[0].mode, vm.disks[0].mode);
}

TEST_P(HypervisorContract, StoppedVmThatIsStartedInMidCopyIsMergedLive) {
  fixture_->PowerOff();
  const auto [vm, plan] = OntoOverlays();
  fixture_->PowerOn();
  fixture_->GuestWrites("vda", 5, 0x71);
  fixture_->GuestWrites("vdb", 5, 0x72);
  EXPECT_EQ(fixture_->ValueInBase(vm.disks[0].source, "raw", 5), 0) << "the copy is made of it";
  for (const OverlayDisk& disk : plan.disks) {
    EXPECT_EQ(PhaseOf(disk), MergePhase::kNone);
    MergeLive(disk);
  }
  RestoreAndRemove(vm, plan);
  EXPECT_EQ(fixture_->ValueInBase(vm.disks[0].source, "raw", 5), 0x71);
  EXPECT_EQ(fixture_->ValueInBase(vm.disks[1].source, "qcow2", 5), 0x72);
  const VmDescription after = Describe();
  EXPECT_EQ(after.power, PowerState::kOn);
  EXPECT_EQ(after.inactive_xml, vm.inactive_xml);
}

TEST_P(HypervisorContract, StoppedVmThatRanInMidCopyIsMergedOffline) {
  fixture_->PowerOff();
  const auto [vm, plan] = OntoOverlays();
  fixture_->PowerOn();
  fixture_->GuestWrites("vda", 6, 0x01);
  fixture_->GuestWrites("vdb", 6, 0x02);
  fixture_->PowerOff();
  for (const OverlayDisk& disk : plan.disks) {
    EXPECT_EQ(PhaseOf(disk), MergePhase::kOffline);
    const absl::Status status = hypervisor().CommitOffline(disk);
    EXPECT_TRUE(status.ok()) << status;
  }
  RestoreAndRemove(vm, plan);
  EXPECT_EQ(fixture_->ValueInBase(vm.disks[0].source, "raw", 6), 0x01);
  EXPECT_EQ(fixture_->ValueInBase(vm.disks[1].source, "qcow2", 6), 0x02);
  EXPECT_EQ(Describe().inactive_xml, vm.inactive_xml);
}

TEST_P(HypervisorContract, ThawIsFineWhereThereIsNothingToThaw) {
  EXPECT_TRUE(hypervisor().Thaw(uuid()).ok()) << "no agent";
  fixture_->PowerOff();
  EXPECT_TRUE(hypervisor().Thaw(uuid()).ok()) << "off";
  EXPECT_TRUE(hypervisor().Thaw(kUnknownVm).ok()) << "gone";
}

TEST_P(HypervisorContract, RestoreXmlNamesNoOverlay) {
  const auto [vm, plan] = OntoOverlays();
  const absl::StatusOr<std::string> xml = hypervisor().RestoreXml(
      vm, {{"vda", "disk-vda.raw", "raw"}, {"vdb", "disk-vdb.qcow2", "qcow2"}});
  ASSERT_TRUE(xml.ok()) << xml.status();
  EXPECT_FALSE(xml->empty());
  EXPECT_THAT(*xml, ::testing::Not(::testing::HasSubstr(std::string(kOverlayMark))));
}

}  // namespace vmkeep::executor

#endif  // VMKEEP_TESTS_CONTRACT_HYPERVISOR_HYPERVISOR_CONTRACT_H_
