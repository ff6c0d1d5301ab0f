#include "common/uuid.h"
#include "executor/hypervisor/sim/sim_hypervisor.h"
#include "executor/hypervisor/sim/sim_vm.h"
#include "tests/contract/hypervisor/hypervisor_contract.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

namespace vmkeep::executor {
namespace {

constexpr int64_t kDiskBytes = 2 << 20;
constexpr int64_t kSlotBytes = 64 << 10;

// One simulated VM in a folder of its own. The "qcow2" is one in name only: the simulation takes
// images as bytes.
class SimFixture final : public HypervisorFixture {
 public:
  SimFixture() : hypervisor_(folder_.path()) {
    SimVm vm;
    vm.folder = folder_.path("vm");
    vm.uuid = NewUuid4();
    vm.name = "contract";
    vm.guest_agent = false;
    std::filesystem::create_directory(vm.folder);
    for (const auto& [target, format] : {std::pair{"vda", "raw"}, std::pair{"vdb", "qcow2"}}) {
      const std::string base = vm.folder + "/" + target + "." + format;
      EXPECT_TRUE(test::WriteFile(base, std::string(kDiskBytes, '\0')));
      vm.disks.push_back(
          {.target = target, .format = format, .base = base, .overlay = "", .merge_polls = -1});
    }
    EXPECT_THAT(SaveSimVm(vm), test::IsOk());
    uuid_ = vm.uuid;
  }

  Hypervisor& hypervisor() override { return hypervisor_; }
  std::string vm_uuid() override { return uuid_; }
  void PowerOff() override {
    EXPECT_THAT(hypervisor_.SetPower(uuid_, PowerState::kOff), test::IsOk());
  }
  void PowerOn() override {
    EXPECT_THAT(hypervisor_.SetPower(uuid_, PowerState::kOn), test::IsOk());
  }
  void GuestWrites(const std::string& target, int slot, uint8_t value) override {
    EXPECT_THAT(hypervisor_.GuestWrite(uuid_, target, slot * kSlotBytes,
                                       std::string(1, static_cast<char>(value))),
                test::IsOk());
  }
  bool FileExists(const std::string& path) override { return std::filesystem::exists(path); }
  void CreateFile(const std::string& path) override { EXPECT_TRUE(test::WriteFile(path, "x")); }
  uint8_t ValueInBase(const std::string& base, const std::string&, int slot) override {
    return static_cast<uint8_t>(test::ReadFile(base).at(slot * kSlotBytes));
  }

 private:
  test::TempDir folder_;
  SimHypervisor hypervisor_;
  std::string uuid_;
};

std::unique_ptr<HypervisorFixture> MakeSimFixture() { return std::make_unique<SimFixture>(); }

INSTANTIATE_TEST_SUITE_P(Sim, LookContract, ::testing::Values(LookFixtureFactory(&MakeSimFixture)));
INSTANTIATE_TEST_SUITE_P(Sim, HypervisorContract,
                         ::testing::Values(FixtureFactory(&MakeSimFixture)));

}  // namespace
}  // namespace vmkeep::executor
