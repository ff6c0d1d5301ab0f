#include "executor/task/overlay_keeper.h"

#include "common/uuid.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/sim/sim_hypervisor.h"
#include "executor/hypervisor/sim/sim_setup.h"
#include "executor/task/inventory.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/task/fake_worker.h"
#include "tests/unit/task/scripted_hypervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace vmkeep::executor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::NiceMock;
using ::vmkeep::test::IsOk;

// VMs of the simulated hypervisor on overlays that no journal knows. The clock is the machine's.
class OverlayKeeperTest : public ::testing::Test {
 protected:
  OverlayKeeperTest() : sim_(Made(folder_.path("vms"))) {
    hypervisor_.DelegateTo(sim_);
    auto opened = Journal::Open(Made(folder_.path("state")), RealClock());
    EXPECT_THAT(opened, IsOk());
    journal_ = *std::move(opened);
    env_ = std::make_unique<Environment>(
        Environment{hypervisor_, worker_, *journal_, RealClock(), {}});
    events_ = std::make_unique<EventLog>(*journal_, RealClock());
    tasks_ = std::make_unique<TaskManager>(*env_, *events_, [] {});
  }

  static std::string Made(const std::string& folder) {
    std::filesystem::create_directory(folder);
    return folder;
  }
  // -> its overlay
  OverlayDisk Strand(const std::string& name) {
    EXPECT_THAT(CreateSimVm(folder_.path("vms"), {name, 1, 1 << 20}), IsOk());
    const auto vm = sim_.Describe(SimVmUuid(name));
    EXPECT_THAT(vm, IsOk());
    const Disk& disk = vm->disks.front();
    OverlayDisk overlay{vm->uuid, disk.target, disk.source, disk.format,
                        OverlayPath(disk.source, NewUuid7(RealClock().Now()))};
    EXPECT_THAT(sim_.Snapshot({vm->uuid, {overlay}, {}, QuiescePolicy::kNever}), IsOk());
    return overlay;
  }
  bool Home(const OverlayDisk& overlay) {
    const auto status = sim_.GetMergeStatus(overlay);
    return status.ok() && status->phase == MergePhase::kMerged;
  }
  ::vmkeep::v1::Vm Listed(const std::string& uuid) {
    const auto page = ListVms(*env_, *tasks_, 1000, "");
    EXPECT_THAT(page, IsOk());
    for (const auto& vm : page->vms) {
      if (vm.uuid() == uuid) return vm;
    }
    return {};
  }
  static bool Eventually(const std::function<bool()>& holds) {
    for (int i = 0; i < 1500 && !holds(); ++i) RealClock().WaitFor(absl::Milliseconds(10), {});
    return holds();
  }

  vmkeep::test::TempDir folder_;
  SimHypervisor sim_;
  NiceMock<test::BreakableHypervisor> hypervisor_;
  test::FakeWorker worker_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Environment> env_;
  std::unique_ptr<EventLog> events_;
  std::unique_ptr<TaskManager> tasks_;
};

// Seen red with all of it in the thread that looks.
TEST_F(OverlayKeeperTest, MergeThatTakesHoursHoldsUpNoOtherVm) {
  const OverlayDisk slow = Strand("slow");
  const OverlayDisk other = Strand("other");
  ON_CALL(hypervisor_, GetMergeStatus)
      .WillByDefault([&](const OverlayDisk& disk) -> absl::StatusOr<MergeStatus> {
        if (disk.overlay == slow.overlay) return MergeStatus{MergePhase::kRunning, 1, 1 << 30};
        return sim_.GetMergeStatus(disk);
      });
  OverlayKeeper keeper(*env_, *tasks_, [] {});
  keeper.Begin({});
  EXPECT_TRUE(Eventually([&] { return Home(other); }));
  EXPECT_FALSE(Home(slow));
  const OverlayDisk late = Strand("late");
  keeper.Begin({});
  EXPECT_TRUE(Eventually([&] { return Home(late); })) << "the slow one is not begun a second time";
}

TEST_F(OverlayKeeperTest, TheOneThatWaitedLongestIsNext) {
  hypervisor_.pivot_fails = true;
  env_->options.merge_deadline = absl::ZeroDuration();
  const OverlayDisk first = Strand("first");
  const OverlayDisk second = Strand("second");
  std::vector<std::string> tried;
  ON_CALL(hypervisor_, GetMergeStatus)
      .WillByDefault([&](const OverlayDisk& disk) -> absl::StatusOr<MergeStatus> {
        tried.push_back(disk.vm_uuid);
        return MergeStatus{MergePhase::kRunning, 1, 2};
      });
  OverlayKeeper keeper(*env_, *tasks_, [] {}, /*vms_at_once=*/1);
  for (int look = 0; look < 4; ++look) keeper.Look({});
  ASSERT_EQ(tried.size(), 4);
  EXPECT_NE(tried[0], tried[1]);
  EXPECT_THAT(tried, ElementsAre(tried[0], tried[1], tried[0], tried[1]));
}

TEST_F(OverlayKeeperTest, WhatIsInTheWayIsToldUntilTheVmIsHome) {
  std::atomic<int> told = 0;
  env_->alerts->OnChange([&told] { ++told; });
  const OverlayDisk overlay = Strand("web-1");
  hypervisor_.pivot_fails = true;
  OverlayKeeper keeper(*env_, *tasks_, [] {});
  keeper.Begin({});
  ASSERT_TRUE(Eventually([&] { return told == 1; })) << "while it is still tried";
  ::vmkeep::v1::Vm vm = Listed(overlay.vm_uuid);
  EXPECT_EQ(vm.overlay().reason(), "MERGE_FAILED");
  EXPECT_THAT(vm.overlay().message(), HasSubstr("broken by the test"));
  EXPECT_THAT(vm.overlay().files(), ElementsAre(overlay.overlay));
  EXPECT_TRUE(vm.overlay().needs_attention());
  EXPECT_FALSE(vm.overlay().files_only());
  EXPECT_THAT(vm.overlay().remedy(), HasSubstr("make room"));
  EXPECT_GT(vm.overlay().bytes(), 0);

  hypervisor_.pivot_fails = false;
  keeper.Join();
  vm = Listed(overlay.vm_uuid);
  EXPECT_EQ(vm.overlay().reason(), "UNKNOWN_OVERLAY") << "nobody but a person may remove its file";
  EXPECT_TRUE(vm.overlay().files_only());

  std::filesystem::remove(overlay.overlay);
  keeper.Look({});
  EXPECT_FALSE(Listed(overlay.vm_uuid).has_overlay());
  EXPECT_EQ(told, 3);
}

}  // namespace
}  // namespace vmkeep::executor
