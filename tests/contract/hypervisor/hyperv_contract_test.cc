// The Hyper-V backend against the contract, on a stand-in for PowerShell, our scripts and the host
// (tests/fakes/hyperv/fake_host.py).
#include "executor/hypervisor/hyperv/hyperv_hypervisor.h"
#include "tests/contract/hypervisor/export_contract.h"
#include "tests/contract/hypervisor/look_contract.h"
#include "tests/fakes/hyperv/fake_scripts.h"
#include "tests/support/temp_dir.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace vmkeep::executor {
namespace {

constexpr char kVm[] = "6b29fc40-ca47-1067-b31d-00dd010662da";

class HyperVFixture final : public ExportFixture {
 public:
  HyperVFixture() {
    std::filesystem::create_directory(host_.path("images"));
    for (const char* image : {"web_1.avhdx", "web.vhdx", "data.vhd"}) {
      EXPECT_TRUE(
          test::WriteFile(absl::StrCat(host_.path("images/"), image), std::string(5000, 'x')));
    }
    SaveVm();
    hypervisor_ = Open();
  }
  ~HyperVFixture() override {
    // No stand-in of an export is left behind.
    if (hypervisor_ != nullptr) (void)hypervisor_->EndExport({.vm_uuid = kVm, .folder = "/none"});
    ReleaseExports();
  }

  bool open() const { return hypervisor_ != nullptr; }
  Hypervisor& hypervisor() override { return *hypervisor_; }
  std::string vm_uuid() override { return kVm; }
  void PowerOff() override {
    state_ = "Off";
    SaveVm();
  }
  void PowerOn() override {
    state_ = "Running";
    SaveVm();
  }
  bool FileExists(const std::string& path) override { return std::filesystem::exists(path); }

  std::string MakeFolder() override {
    std::string folder = host_.path(absl::StrCat("export-", ++folders_));
    std::filesystem::create_directory(folder);
    return folder;
  }
  std::vector<std::string> FilesBelow(const std::string& folder) override {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
      if (entry.is_regular_file()) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    return files;
  }
  void HoldExports() override { EXPECT_TRUE(test::WriteFile(host_.path("hold"), "")); }
  void ReleaseExports() override { std::filesystem::remove(host_.path("hold")); }
  void TakeQuiesceAway() override {
    no_vss_ = true;
    SaveVm();
  }
  void AttachPhysicalDisk() override {
    physical_ = true;
    SaveVm();
  }
  void RestartProcess() override {
    hypervisor_.reset();
    hypervisor_ = Open();
    ASSERT_NE(hypervisor_, nullptr);
  }

 private:
  std::unique_ptr<Hypervisor> Open() {
    HyperVOptions options;
    options.runner.interpreter = VMKEEP_TESTS "/fakes/hyperv/fake_host.py";
    options.runner.scripts = scripts_.folder();
    options.runner.environment = {{"VMKEEP_FAKE_HYPERV_DIR", host_.path()}};
    options.digests = scripts_.digests();
    options.end_wait = absl::Seconds(20);
    options.poll_period = absl::Milliseconds(50);
    absl::StatusOr<std::unique_ptr<Hypervisor>> opened = HyperVHypervisor::Open(options);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }

  // Replaced in one step: a script may be reading it.
  void SaveVm() {
    const std::string disks = absl::StrReplaceAll(
        R"({"controller":"scsi","controller_number":0,"controller_location":0,
            "path":"$/web_1.avhdx","parents":["$/web.vhdx"],"virtual_bytes":1048576},
           {"controller":"ide","controller_number":1,"controller_location":0,
            "path":"$/data.vhd","virtual_bytes":2097152})",
        {{"$", host_.path("images")}});
    const std::string physical =
        R"(,{"controller":"scsi","controller_number":0,"controller_location":2,
             "path":"Disk 2","pass_through":true})";
    const std::string vm =
        absl::StrCat(R"([{"id":"6B29FC40-CA47-1067-B31D-00DD010662DA","name":"web","state":")",
                     state_, R"(","generation":2,"no_vss":)", no_vss_ ? "true" : "false",
                     R"(,"disks":[)", disks, physical_ ? physical : "", "]}]");
    EXPECT_TRUE(test::WriteFile(host_.path("vms.new"), vm));
    std::filesystem::rename(host_.path("vms.new"), host_.path("vms.json"));
  }

  test::TempDir host_;
  test::FakeScripts scripts_;
  std::string state_ = "Running";
  bool no_vss_ = false;
  bool physical_ = false;
  int folders_ = 0;
  std::unique_ptr<Hypervisor> hypervisor_;
};

std::unique_ptr<HyperVFixture> MakeHyperVFixture() {
  auto fixture = std::make_unique<HyperVFixture>();
  return fixture->open() ? std::move(fixture) : nullptr;
}

INSTANTIATE_TEST_SUITE_P(HyperV, LookContract,
                         ::testing::Values(LookFixtureFactory(&MakeHyperVFixture)));
INSTANTIATE_TEST_SUITE_P(HyperV, ExportContract,
                         ::testing::Values(ExportFixtureFactory(&MakeHyperVFixture)));

// What is made here must never be taken for a backup of a VM.
TEST(HyperVOnAStandInTest, SaysThatItIsOne) {
  EXPECT_TRUE(MakeHyperVFixture()->hypervisor().simulated());
}

}  // namespace
}  // namespace vmkeep::executor
