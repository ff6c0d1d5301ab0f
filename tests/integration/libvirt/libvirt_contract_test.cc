// The contract of hypervisor.h on libvirt, with VMs that have no system in them: their guest is the
// test.

#include "executor/hypervisor/libvirt/libvirt_hypervisor.h"
#include "tests/contract/hypervisor/hypervisor_contract.h"
#include "tests/integration/libvirt/lab.h"

#include <fstream>

namespace vmkeep::executor {
namespace {

constexpr uint64_t kSlotBytes = 128 << 10;

class LibvirtFixture final : public HypervisorFixture {
 public:
  explicit LibvirtFixture(std::unique_ptr<Hypervisor> hypervisor)
      : hypervisor_(std::move(hypervisor)) {}

  Hypervisor& hypervisor() override { return *hypervisor_; }
  std::string vm_uuid() override { return vm_.uuid(); }
  void PowerOff() override { vm_.PowerOff(); }
  void PowerOn() override { vm_.PowerOn(); }
  void GuestWrites(const std::string& target, int slot, uint8_t value) override {
    vm_.Write(target, static_cast<uint64_t>(slot) * kSlotBytes, value);
  }
  bool FileExists(const std::string& path) override { return std::ifstream(path).good(); }
  void CreateFile(const std::string& path) override { std::ofstream(path) << "not ours"; }
  uint8_t ValueInBase(const std::string& base, const std::string& format, int slot) override {
    return lab::ByteOf(base, format, static_cast<uint64_t>(slot) * kSlotBytes);
  }

 private:
  lab::BareVm vm_{/*plain=*/true};
  const std::unique_ptr<Hypervisor> hypervisor_;
};

std::unique_ptr<HypervisorFixture> MakeLibvirtFixture() {
  absl::StatusOr<std::unique_ptr<Hypervisor>> hypervisor = LibvirtHypervisor::Open({});
  if (!hypervisor.ok()) {
    ADD_FAILURE() << hypervisor.status();
    return nullptr;
  }
  return std::make_unique<LibvirtFixture>(*std::move(hypervisor));
}

INSTANTIATE_TEST_SUITE_P(Libvirt, LookContract,
                         ::testing::Values(LookFixtureFactory(&MakeLibvirtFixture)));
INSTANTIATE_TEST_SUITE_P(Libvirt, HypervisorContract,
                         ::testing::Values(FixtureFactory(&MakeLibvirtFixture)));

}  // namespace
}  // namespace vmkeep::executor
