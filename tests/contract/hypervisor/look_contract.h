#ifndef VMKEEP_TESTS_CONTRACT_HYPERVISOR_LOOK_CONTRACT_H_
#define VMKEEP_TESTS_CONTRACT_HYPERVISOR_LOOK_CONTRACT_H_

#include "common/clock.h"
#include "common/error.h"
#include "executor/hypervisor/hypervisor.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

// What executor/hypervisor/hypervisor.h promises of the verbs that look, whichever BackupMethod it
// has, as tests that every backend passes:
//
//   INSTANTIATE_TEST_SUITE_P(Sim, LookContract,
//   ::testing::Values(LookFixtureFactory(&MakeSimFixture)));
namespace vmkeep::executor {

// A hypervisor with one VM that runs and has at least one disk, and what the tests do to the VM
// behind its back. One fixture per test.
class LookFixture {
 public:
  virtual ~LookFixture() = default;

  virtual Hypervisor& hypervisor() = 0;
  virtual std::string vm_uuid() = 0;

  // Hard off, as by a power cut, and on again; both return when it is done.
  virtual void PowerOff() = 0;
  virtual void PowerOn() = 0;

  // Looks at host files.
  virtual bool FileExists(const std::string& path) = 0;
};

// Makes a fixture; null where the machine has not what it takes: the tests are skipped then.
using LookFixtureFactory = std::function<std::unique_ptr<LookFixture>()>;

inline constexpr char kUnknownVm[] = "00000000-1111-4222-8333-444444444444";

// Asks again until it holds; false when it does not within half a minute.
inline bool Eventually(const std::function<bool()>& holds) {
  Clock& clock = RealClock();
  const absl::Duration deadline = clock.Monotonic() + absl::Seconds(30);
  while (!holds()) {
    if (clock.Monotonic() >= deadline) return false;
    clock.WaitFor(absl::Milliseconds(10), {});
  }
  return true;
}

class LookContract : public ::testing::TestWithParam<LookFixtureFactory> {
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

  // The VM in the list; nothing also when it is there twice.
  std::optional<VmSummary> Listed() {
    absl::StatusOr<std::vector<VmSummary>> vms = hypervisor().ListVms();
    EXPECT_TRUE(vms.ok()) << vms.status();
    if (!vms.ok()) return std::nullopt;
    std::erase_if(*vms, [&](const VmSummary& vm) { return vm.uuid != uuid(); });
    if (vms->size() != 1) return std::nullopt;
    return vms->front();
  }

  std::unique_ptr<LookFixture> fixture_;
};

TEST_P(LookContract, ItsNameIsOneWord) {
  EXPECT_THAT(hypervisor().name(), ::testing::MatchesRegex("[a-z]+"));
}

TEST_P(LookContract, ListsTheRunningVm) {
  const std::optional<VmSummary> vm = Listed();
  ASSERT_TRUE(vm.has_value());
  EXPECT_FALSE(vm->name.empty());
  EXPECT_EQ(vm->power, PowerState::kOn);
  EXPECT_TRUE(vm->overlays.empty());
}

TEST_P(LookContract, DescribesTheVmAsItIsListed) {
  const std::optional<VmSummary> listed = Listed();
  ASSERT_TRUE(listed.has_value());
  const VmDescription vm = Describe();
  EXPECT_EQ(vm.uuid, uuid());
  EXPECT_EQ(vm.name, listed->name);
  EXPECT_EQ(vm.power, PowerState::kOn);
  ASSERT_FALSE(vm.disks.empty());
  for (const Disk& disk : vm.disks) {
    EXPECT_FALSE(disk.target.empty());
    EXPECT_FALSE(disk.format.empty());
    EXPECT_TRUE(absl::StartsWith(disk.source, "/")) << disk.source;
    EXPECT_TRUE(fixture_->FileExists(disk.source)) << disk.source;
    EXPECT_GE(disk.virtual_bytes, int64_t{1} << 20);
  }
}

TEST_P(LookContract, ALookMayBeRepeatedAndChangesNothing) {
  const VmDescription first = Describe();
  const VmDescription second = Describe();
  EXPECT_EQ(first.name, second.name);
  EXPECT_EQ(first.power, second.power);
  ASSERT_EQ(first.disks.size(), second.disks.size());
  for (size_t i = 0; i < first.disks.size(); ++i) {
    EXPECT_EQ(first.disks[i].target, second.disks[i].target);
    EXPECT_EQ(first.disks[i].source, second.disks[i].source);
    EXPECT_EQ(first.disks[i].format, second.disks[i].format);
    EXPECT_EQ(first.disks[i].virtual_bytes, second.disks[i].virtual_bytes);
  }
  EXPECT_EQ(Listed()->power, PowerState::kOn);
}

TEST_P(LookContract, AVmThatIsNotThereIsSaidNotToBe) {
  const absl::Status status = hypervisor().Describe(kUnknownVm).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_EQ(ErrorReason(status), "VM_NOT_FOUND");
}

TEST_P(LookContract, APowerCutShowsInEachLook) {
  fixture_->PowerOff();
  EXPECT_EQ(Listed()->power, PowerState::kOff);
  EXPECT_EQ(Describe().power, PowerState::kOff);
  fixture_->PowerOn();
  EXPECT_EQ(Listed()->power, PowerState::kOn);
  EXPECT_EQ(Describe().power, PowerState::kOn);
}

TEST_P(LookContract, ChangeOfPowerIsTold) {
  // Outlives the hypervisor: a call may be on its way when the test ends.
  auto changes = std::make_shared<std::atomic<int>>(0);
  hypervisor().OnChange([changes] { ++*changes; });
  const int before = *changes;
  fixture_->PowerOff();
  EXPECT_TRUE(Eventually([&] { return *changes > before; }));
  const std::optional<VmSummary> vm = Listed();
  ASSERT_TRUE(vm.has_value());
  EXPECT_EQ(vm->power, PowerState::kOff);
}

// A task of one method must not get half of its way with a hypervisor of the other.
TEST_P(LookContract, VerbsOfTheOtherMethodAreRefused) {
  const OverlayDisk disk{uuid(), "vda", "/nowhere/a.raw", "raw",
                         OverlayPath("/nowhere/a.raw", kUnknownVm)};
  const ExportPlan plan{.vm_uuid = uuid(), .folder = "/nowhere"};
  std::vector<absl::Status> refused;
  if (hypervisor().method() == BackupMethod::kExport) {
    refused = {hypervisor().Snapshot({uuid(), {disk}, {}, QuiescePolicy::kNever}).status(),
               hypervisor().GetMergeStatus(disk).status(), hypervisor().StartMerge(disk),
               hypervisor().RemoveOverlay(disk)};
  } else {
    refused = {hypervisor().StartExport(plan, {}), hypervisor().GetExportStatus(plan).status(),
               hypervisor().EndExport(plan)};
  }
  for (const absl::Status& status : refused) {
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
    EXPECT_EQ(ErrorReason(status), "NOT_OF_THIS_HYPERVISOR");
  }
  EXPECT_TRUE(hypervisor().Thaw(uuid()).ok()) << "nobody is frozen";
}

}  // namespace vmkeep::executor

#endif  // VMKEEP_TESTS_CONTRACT_HYPERVISOR_LOOK_CONTRACT_H_
