#include "executor/hypervisor/hyperv/vm_look.h"

#include "executor/hypervisor/file_name.h"
#include "tests/support/status_matchers.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>

namespace vmkeep::executor::hyperv {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::vmkeep::test::HasReason;
using ::vmkeep::test::IsOk;
using ::vmkeep::test::StatusIs;

TEST(PathRulesTest, AbsoluteIsWhatWindowsTakesAsIt) {
  for (const char* path :
       {R"(C:\vm\web.vhdx)", "c:/vm/web.vhdx", R"(\\nas\vms\web.vhdx)", R"(\\?\C:\vm\web.vhdx)",
        R"(\\?\Volume{2b6}\web.vhdx)", "/vm/web.vhdx", "/a"})
    EXPECT_TRUE(IsAbsolutePath(path)) << path;
  for (const char* path : {"", "web.vhdx", "C:web.vhdx", R"(\vm\web.vhdx)", R"(..\web.vhdx)",
                           "C:", R"(C:\)", R"(\\)", "/", "1:\\web.vhdx"})
    EXPECT_FALSE(IsAbsolutePath(path)) << path;
}

TEST(PathRulesTest, TheFormatIsTheExtensionOfTheFileItself) {
  EXPECT_EQ(FormatOf(R"(C:\vm\web.vhdx)"), "vhdx");
  EXPECT_EQ(FormatOf(R"(C:\vm\web_8A1F.AVHDX)"), "vhdx");
  EXPECT_EQ(FormatOf(R"(\\nas\x\old.VHD)"), "vhd");
  EXPECT_EQ(FormatOf("/x/old.avhd"), "vhd");
  for (const char* path : {R"(C:\web.vhdx\raw)", R"(C:\vm\web.vhds)", R"(C:\vm\vhdx)", ".vhdx",
                           R"(C:\vm\.vhdx)", R"(C:\vm\web.vhdx.bak)", "", R"(C:\vm\web.vhdx )"})
    EXPECT_EQ(FormatOf(path), "") << path;
  EXPECT_EQ(FileNameOf(R"(C:\a b\web.vhdx)"), "web.vhdx");
  EXPECT_EQ(FileNameOf("C:/a/web.vhdx"), "web.vhdx");
  EXPECT_EQ(FileNameOf("web.vhdx"), "web.vhdx");
  EXPECT_EQ(FileNameOf("\\\\nas\\share/x/d.vhd"), "d.vhd");
  EXPECT_EQ(FileNameOf("a/"), "");
}

class VmLookTest : public ::testing::Test {
 protected:
  VmLookTest() {
    EXPECT_TRUE(
        google::protobuf::TextFormat::ParseFromString(
            R"pb(id: "6B29FC40-CA47-1067-B31D-00DD010662DA"
                 name: "Büro"
                 state: "Running"
                 status: "Ok"
                 generation: 2
                 not_included: "its TPM's key protector"
                 disks {
                   controller: "scsi"
                   controller_location: 1
                   path: "C:\\vm\\web_2.avhdx"
                   virtual_bytes: 1000
                   file_bytes: 300
                   parents: "C:\\vm\\web_1.avhdx"
                   parents: "D:\\gold\\Base.VHDX"
                 }
                 disks {
                   controller: "ide"
                   controller_number: 1
                   path: "C:\\vm\\old.vhd"
                   file_bytes: 5
                 })pb",
            &vm_));
  }
  void ExpectRefused(const std::string& with) {
    const absl::Status status = DescriptionOf(vm_).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(status, HasReason("CANNOT_BACK_UP"));
    EXPECT_THAT(std::string(status.message()), HasSubstr(with));
  }
  wire::Vm vm_;
};

TEST_F(VmLookTest, DisksAreNamedByTheirPlaceAndKeepTheirChain) {
  const absl::StatusOr<VmDescription> vm = DescriptionOf(vm_);
  ASSERT_THAT(vm, IsOk());
  EXPECT_EQ(vm->uuid, "6b29fc40-ca47-1067-b31d-00dd010662da");
  EXPECT_EQ(vm->name, "Büro");
  EXPECT_EQ(vm->power, PowerState::kOn);
  EXPECT_THAT(vm->not_included, ElementsAre("its TPM's key protector"));
  ASSERT_EQ(vm->disks.size(), 2u);
  EXPECT_EQ(vm->disks[0].target, "scsi0x1");
  EXPECT_EQ(vm->disks[0].format, "vhdx");
  EXPECT_EQ(vm->disks[0].source, R"(C:\vm\web_2.avhdx)");
  EXPECT_EQ(vm->disks[0].virtual_bytes, 1000);
  EXPECT_EQ(vm->disks[0].data_bytes, 300);
  ASSERT_EQ(vm->disks[0].backing.size(), 2u);
  EXPECT_EQ(vm->disks[0].backing[1].file, R"(D:\gold\Base.VHDX)");
  EXPECT_EQ(vm->disks[0].backing[1].format, "vhdx");
  EXPECT_EQ(vm->disks[0].ino, 0u);
  EXPECT_EQ(vm->disks[1].target, "ide1x0");
  EXPECT_EQ(vm->disks[1].format, "vhd");
}

TEST_F(VmLookTest, WhatAnExportDoesNotHoldIsRefusedWithTheDisk) {
  vm_.mutable_disks(1)->set_pass_through(true);
  vm_.mutable_disks(1)->set_path("Disk 2");
  ExpectRefused("disk ide1x0 (Disk 2) is a physical disk");
  vm_.mutable_disks(1)->set_pass_through(false);
  ExpectRefused("no absolute path");
  vm_.mutable_disks(1)->set_path(R"(C:\vm\set.vhds)");
  ExpectRefused("neither a .vhdx nor a .vhd");
  vm_.mutable_disks(1)->set_shared(true);
  ExpectRefused("shared with other VMs");
}

TEST_F(VmLookTest, AParentThatIsNoImageIsRefused) {
  vm_.mutable_disks(0)->set_parents(1, R"(D:\gold\base.iso)");
  ExpectRefused(R"(has a parent, D:\gold\base.iso, that is neither)");
}

TEST_F(VmLookTest, AVmWithoutADiskIsRefused) {
  vm_.clear_disks();
  ExpectRefused("no disk");
}

TEST_F(VmLookTest, TwoImagesOfOneNameAreRefusedButNotOneParentOfTwo) {
  vm_.mutable_disks(1)->set_path(R"(E:\other\BASE.vhdx)");
  ExpectRefused("file name of another image");
  vm_.mutable_disks(1)->set_path(R"(E:\other\web.vhdx)");
  vm_.mutable_disks(1)->add_parents(R"(d:\GOLD\base.vhdx)");
  EXPECT_THAT(DescriptionOf(vm_), IsOk()) << "it is the same file, spelled otherwise";
}

TEST_F(VmLookTest, OnlySettledStatesAreTaken) {
  const std::vector<std::pair<const char*, PowerState>> taken = {{"Running", PowerState::kOn},
                                                                 {"Off", PowerState::kOff},
                                                                 {"Saved", PowerState::kOff},
                                                                 {"Paused", PowerState::kPaused}};
  for (const auto& [state, power] : taken) {
    vm_.set_state(state);
    const absl::StatusOr<VmDescription> vm = DescriptionOf(vm_);
    ASSERT_THAT(vm, IsOk()) << state;
    EXPECT_EQ(vm->power, power);
  }
  for (const char* state : {"Starting", "RunningCritical", "FastSaved", "Other", "", "running"}) {
    vm_.set_state(state);
    ExpectRefused("its state is");
    EXPECT_EQ(SummaryOf(vm_)->power, PowerState::kUnknown);
  }
}

TEST_F(VmLookTest, AVmThatHyperVWorksOnIsBusyWhateverElseItIs) {
  for (const char* status : {"MergingDisks", "ExportingVirtualMachine", "CreatingSnapshot",
                             "BackingUpVirtualMachine", "StorageMigrationPhaseTwo"}) {
    wire::Vm vm = vm_;
    vm.add_status(status);
    vm.clear_disks();
    EXPECT_THAT(DescriptionOf(vm).status(), HasReason("VM_BUSY")) << status;
  }
  vm_.add_status("Degraded");
  EXPECT_THAT(DescriptionOf(vm_), IsOk());
}

TEST_F(VmLookTest, AnIdThatIsNoGuidIsTakenByNobody) {
  vm_.set_id("{6B29FC40-CA47-1067-B31D-00DD010662DA}");
  EXPECT_THAT(SummaryOf(vm_), HasReason("HYPERVISOR_ERROR"));
  EXPECT_THAT(DescriptionOf(vm_), HasReason("HYPERVISOR_ERROR"));
}

}  // namespace
}  // namespace vmkeep::executor::hyperv
