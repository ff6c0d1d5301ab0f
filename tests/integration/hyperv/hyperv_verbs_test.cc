// The verbs that look, and what a hypervisor is opened with.
#include "common/clock.h"
#include "common/mutex.h"
#include "tests/integration/hyperv/replay.h"
#include "tests/support/status_matchers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <vector>

namespace vmkeep::executor {
namespace {

using ::vmkeep::test::HasReason;
using ::vmkeep::test::IsOk;

class HyperVVerbsTest : public ::testing::Test {
 protected:
  static bool Eventually(const std::function<bool()>& holds) {
    const absl::Duration deadline = RealClock().Monotonic() + absl::Seconds(20);
    while (!holds()) {
      if (RealClock().Monotonic() >= deadline) return false;
      RealClock().WaitFor(absl::Milliseconds(5), {});
    }
    return true;
  }
  Replay replay_;
};

TEST_F(HyperVVerbsTest, IsOpenedWithTheScriptsOfThisBuildAlone) {
  replay_.Play("list-vms", "list-one-vm");
  EXPECT_TRUE(test::WriteFile(replay_.scripts().folder() + "/export-vm.ps1", "Remove-VM *"));
  EXPECT_THAT(HyperVHypervisor::Open(replay_.options()), HasReason("SCRIPT_TAMPERED"));
  EXPECT_EQ(replay_.Log(), "") << "none was run";
  std::filesystem::remove(replay_.scripts().folder() + "/export-vm.ps1");
  EXPECT_THAT(HyperVHypervisor::Open(replay_.options()), HasReason("SCRIPT_TAMPERED"));
}

TEST_F(HyperVVerbsTest, IsNotOpenedWithoutHyperV) {
  replay_.Play("list-vms", "list-no-hyperv");
  EXPECT_THAT(HyperVHypervisor::Open(replay_.options()), HasReason("HYPERV_MISSING"));
}

TEST_F(HyperVVerbsTest, SaysThatItIsSimulatedWhenTheScriptSaysSo) {
  const std::unique_ptr<Hypervisor> hypervisor = replay_.Open();
  ASSERT_NE(hypervisor, nullptr);
  EXPECT_TRUE(hypervisor->simulated());
  EXPECT_EQ(hypervisor->name(), "hyperv");
  EXPECT_EQ(hypervisor->method(), BackupMethod::kExport);
}

TEST_F(HyperVVerbsTest, ListsVms) {
  const std::unique_ptr<Hypervisor> hypervisor = replay_.Open();
  ASSERT_NE(hypervisor, nullptr);
  replay_.Play("list-vms", "list-two-vms");
  const absl::StatusOr<std::vector<VmSummary>> vms = hypervisor->ListVms();
  ASSERT_THAT(vms, IsOk());
  ASSERT_EQ(vms->size(), 2u);
  EXPECT_EQ((*vms)[0].uuid, kVm);
  EXPECT_EQ((*vms)[0].power, PowerState::kOn);
  EXPECT_EQ((*vms)[1].name, "db");
  EXPECT_EQ((*vms)[1].power, PowerState::kOff);
}

TEST_F(HyperVVerbsTest, DescribesTheVmThatWasAskedFor) {
  const std::unique_ptr<Hypervisor> hypervisor = replay_.Open();
  ASSERT_NE(hypervisor, nullptr);
  replay_.Play("inspect-vm", "inspect-one-disk");
  const absl::StatusOr<VmDescription> vm = hypervisor->Describe(kVm);
  ASSERT_THAT(vm, IsOk());
  EXPECT_EQ(vm->uuid, kVm);
  ASSERT_EQ(vm->disks.size(), 1u);
  EXPECT_EQ(vm->disks[0].target, "scsi0x1");
  for (const char* wrong : {"inspect-another-vm", "inspect-no-vm"}) {
    replay_.Play("inspect-vm", wrong);
    EXPECT_THAT(hypervisor->Describe(kVm), HasReason("SCRIPT_PROTOCOL")) << wrong;
  }
}

TEST_F(HyperVVerbsTest, AChangeIsToldAndNoneIsNot) {
  const std::unique_ptr<Hypervisor> hypervisor = replay_.Open();
  ASSERT_NE(hypervisor, nullptr);
  const auto looks = [this] {
    const std::string log = replay_.Log();
    return std::count(log.begin(), log.end(), '\n');
  };
  std::atomic<int> changes = 0;
  hypervisor->OnChange([&] { ++changes; });
  ASSERT_TRUE(Eventually([&] { return changes == 1; })) << "the first look";
  ASSERT_TRUE(Eventually([&, now = looks()] { return looks() >= now + 3; }));
  EXPECT_EQ(changes, 1);
  replay_.Play("list-vms", "list-no-hyperv");
  ASSERT_TRUE(Eventually([&, now = looks()] { return looks() >= now + 2; }));
  EXPECT_EQ(changes, 1) << "what could not be looked at has not changed";
  replay_.Play("list-vms", "list-two-vms");
  EXPECT_TRUE(Eventually([&] { return changes == 2; }));
}

// The destructor would otherwise wait for the start deadline.
TEST_F(HyperVVerbsTest, APollThatHangsDoesNotHoldUpTheEnd) {
  std::unique_ptr<Hypervisor> hypervisor = replay_.Open();
  ASSERT_NE(hypervisor, nullptr);
  replay_.Play("list-vms", "export-silent");
  hypervisor->OnChange([] {});
  RealClock().WaitFor(absl::Milliseconds(200), {});  // into its first look, on most machines
  const absl::Duration began = RealClock().Monotonic();
  hypervisor.reset();
  EXPECT_LT(RealClock().Monotonic() - began, absl::Seconds(10));
}

}  // namespace
}  // namespace vmkeep::executor
