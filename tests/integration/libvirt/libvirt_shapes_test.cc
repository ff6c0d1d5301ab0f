// Every shape of disk and VM that a real host has, on a real libvirtd and QEMU: onto overlays,
// copied, merged, the definition as it was to the byte, and the VM started again from the copies
// alone.

#include "tests/integration/libvirt/backup.h"
#include "tests/integration/libvirt/lab.h"
#include "tests/integration/libvirt/shaped_vm.h"
#include "tests/support/status_matchers.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace vmkeep::executor {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::vmkeep::test::HasReason;
using ::vmkeep::test::IsOk;
using ::vmkeep::test::StatusIs;

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kLate = 64 << 10;  // where the guest writes while it is on the overlay

std::string Digest(const std::string& file) { return lab::Run({"sha256sum", file}); }

uint32_t OwnerOf(const std::string& file) {
  struct stat found = {};
  return stat(file.c_str(), &found) == 0 ? found.st_uid : ~uint32_t{0};
}

class ShapesTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const { return absl::StrCat(folder_, "/", name); }

  VmDescription Describe(const lab::ShapedVm& vm) {
    absl::StatusOr<VmDescription> described = hypervisor_->Describe(vm.uuid());
    EXPECT_THAT(described, IsOk());
    return described.ok() ? *std::move(described) : VmDescription{};
  }
  // Overlays of block devices have a folder of their own.
  SnapshotPlan PlanFor(const VmDescription& vm) {
    SnapshotPlan plan = lab::PlanFor(vm);
    for (size_t i = 0; i < plan.disks.size(); ++i) {
      if (!vm.disks[i].block_device) continue;
      const std::string task = OverlayTask(plan.disks[i].overlay);
      plan.disks[i].overlay = OverlayPath(Path("device-" + vm.disks[i].target), task);
    }
    return plan;
  }

  const std::string folder_ = lab::NewFolder("shapes");
  const std::unique_ptr<Hypervisor> hypervisor_ = lab::OpenLibvirt();
};

// What the VM does meanwhile.
enum class Life { kRuns, kStaysOff, kIsStartedInMidCopy, kRunsInMidCopyOnly };

// One VM with a disk of each kind:
//   vda  raw, preallocated
//   vdb  qcow2 with a snapshot inside
//   vdc  qcow2 on a qcow2 on a raw image, recorded by a relative name
//   vdd  qcow2 whose data is in a second file
//   vde  a block device
class EveryKindOfDiskTest : public ShapesTest, public ::testing::WithParamInterface<Life> {
 protected:
  EveryKindOfDiskTest() {
    lab::MakeImage(Path("a.raw"), "raw", 0, 0x11, {"-o", "preallocation=falloc"});
    lab::MakeImage(Path("b.qcow2"), "qcow2", 0, 0x12);
    lab::Run({"qemu-img", "snapshot", "-c", "inside", Path("b.qcow2")});
    lab::MakeImage(Path("golden.raw"), "raw", kMiB, 0x71);
    lab::MakeImage(Path("golden.qcow2"), "qcow2", 2 * kMiB, 0x72,
                   {"-b", Path("golden.raw"), "-F", "raw"});
    lab::MakeImage(Path("c.qcow2"), "qcow2", 0, 0x13, {"-b", "golden.qcow2", "-F", "qcow2"});
    lab::MakeImage(Path("d.qcow2"), "qcow2", 0, 0x14, {"-o", "data_file=" + Path("d.data")});
    // libvirt 9.0 does not know of it, hence does not give it to QEMU's user.
    std::filesystem::permissions(Path("d.data"), std::filesystem::perms(0666));
    lab::Run({"qemu-io", "-f", "raw", "-c", "write -q -P 0x15 0 4k", device_.path()});
  }

  std::string NewDeviceFile() {
    lab::Run({"truncate", "-s", "8M", Path("device")});
    return Path("device");
  }
  std::string Disks() {
    return absl::StrCat(lab::DiskElement("raw", Path("a.raw"), "vda"),
                        lab::DiskElement("qcow2", Path("b.qcow2"), "vdb"),
                        lab::DiskElement("qcow2", Path("c.qcow2"), "vdc"),
                        lab::DiskElement("qcow2", Path("d.qcow2"), "vdd"),
                        lab::BlockDiskElement(device_.path(), "vde"));
  }
  // What the guest does during the copy.
  void Live(const lab::ShapedVm& vm) {
    if (GetParam() == Life::kStaysOff) return;
    if (GetParam() != Life::kRuns) vm.PowerOn();
    for (int disk = 0; disk < 5; ++disk) lab::WriteAsGuest(vm.uuid(), disk, kLate, 0x22);
    if (GetParam() == Life::kRunsInMidCopyOnly) vm.PowerOff();
  }

  const lab::LoopDevice device_{NewDeviceFile()};
};

TEST_P(EveryKindOfDiskTest, IsBackedUpMergedAndBroughtBack) {
  const lab::ShapedVm vm(Disks());
  if (GetParam() == Life::kRuns) vm.PowerOn();
  const std::string golden = Digest(Path("golden.qcow2")) + Digest(Path("golden.raw"));

  const VmDescription before = Describe(vm);
  ASSERT_THAT(before.disks, SizeIs(5));
  EXPECT_FALSE(before.disks[0].flat() || before.disks[1].flat() || before.disks[4].flat());
  ASSERT_THAT(before.disks[2].backing, SizeIs(2));
  EXPECT_EQ(before.disks[2].backing[0].format, "qcow2");
  EXPECT_EQ(before.disks[2].backing[1].file, Path("golden.raw"));
  EXPECT_EQ(before.disks[2].backing[1].format, "raw");
  EXPECT_EQ(before.disks[3].data_file, Path("d.data"));
  EXPECT_TRUE(before.disks[4].block_device);
  for (const Disk& disk : before.disks) EXPECT_EQ(disk.virtual_bytes, 8 * kMiB) << disk.target;

  const SnapshotPlan plan = PlanFor(before);
  ASSERT_THAT(hypervisor_->Snapshot(plan), IsOk());
  Live(vm);
  const lab::Copies copies = lab::CopyDisks(*hypervisor_, before);
  const uint32_t owner = OwnerOf(Path("a.raw"));
  ASSERT_THAT(lab::Finish(*hypervisor_, before, plan), IsOk());

  // As it was, unless a QEMU that was started meanwhile needs it.
  const bool started = GetParam() == Life::kIsStartedInMidCopy;
  EXPECT_EQ(OwnerOf(Path("a.raw")), started ? owner : before.disks[0].uid);
  EXPECT_EQ(vm.Definition(), before.inactive_xml);
  EXPECT_EQ(Digest(Path("golden.qcow2")) + Digest(Path("golden.raw")), golden);
  EXPECT_THAT(lab::Run({"qemu-img", "snapshot", "-U", "-l", Path("b.qcow2")}), HasSubstr("inside"));
  const VmDescription after = Describe(vm);
  EXPECT_EQ(after.power == PowerState::kOff,
            GetParam() == Life::kStaysOff || GetParam() == Life::kRunsInMidCopyOnly);
  const int late = GetParam() == Life::kStaysOff ? 0 : 0x22;
  for (int i = 0; i < 5; ++i) {
    const Disk& disk = before.disks[i];
    EXPECT_EQ(lab::ByteOf(disk.source, disk.format, 0), 0x11 + i) << disk.target;
    EXPECT_EQ(lab::ByteOf(disk.source, disk.format, kLate), late) << disk.target;
  }

  if (after.power != PowerState::kOff) vm.PowerOff();
  vm.Undefine();
  lab::RestoreByHand(before, copies);
  vm.PowerOn();
  const VmDescription restored = Describe(vm);
  ASSERT_THAT(restored.disks, SizeIs(5));
  for (int i = 0; i < 5; ++i) {
    const Disk& disk = restored.disks[i];
    EXPECT_FALSE(disk.flat()) << disk.target;
    EXPECT_EQ(disk.format, copies.Format(disk.target));
    EXPECT_EQ(lab::ByteOf(disk.source, disk.format, 0), 0x11 + i) << disk.target;
    EXPECT_EQ(lab::ByteOf(disk.source, disk.format, kLate), 0) << "written after the snapshot";
  }
  EXPECT_EQ(lab::ByteOf(Path("c.qcow2"), "raw", kMiB), 0x71);
  EXPECT_EQ(lab::ByteOf(Path("c.qcow2"), "raw", 2 * kMiB), 0x72);
  EXPECT_THAT(lab::Run({"qemu-img", "snapshot", "-U", "-l", Path("b.qcow2")}), HasSubstr("inside"));
}

INSTANTIATE_TEST_SUITE_P(Lives, EveryKindOfDiskTest,
                         ::testing::Values(Life::kRuns, Life::kStaysOff, Life::kIsStartedInMidCopy,
                                           Life::kRunsInMidCopyOnly),
                         [](const auto& tested) {
                           switch (tested.param) {
                             case Life::kRuns:
                               return "Runs";
                             case Life::kStaysOff:
                               return "StaysOff";
                             case Life::kIsStartedInMidCopy:
                               return "IsStartedInMidCopy";
                             case Life::kRunsInMidCopyOnly:
                               return "RunsInMidCopyOnly";
                           }
                           return "";
                         });

TEST_F(ShapesTest, GoldenBaseOfTwoVmsIsNotTouched) {
  lab::MakeImage(Path("golden"), "qcow2", 0, 0x33);
  for (const char* name : {"one", "two"}) {
    lab::MakeImage(Path(name), "qcow2", kMiB, 0x44, {"-b", Path("golden"), "-F", "qcow2"});
  }
  const lab::ShapedVm one(lab::DiskElement("qcow2", Path("one"), "vda"));
  const lab::ShapedVm two(lab::DiskElement("qcow2", Path("two"), "vda"));
  one.PowerOn();
  two.PowerOn();
  const std::string golden = Digest(Path("golden"));
  const VmDescription first = Describe(one);
  const VmDescription second = Describe(two);
  const SnapshotPlan first_plan = PlanFor(first);
  const SnapshotPlan second_plan = PlanFor(second);
  ASSERT_THAT(hypervisor_->Snapshot(first_plan), IsOk());
  ASSERT_THAT(hypervisor_->Snapshot(second_plan), IsOk());
  lab::WriteAsGuest(one.uuid(), 0, 0, 0x55);
  // One is merged live and one offline, over the same base.
  two.PowerOff();
  EXPECT_THAT(lab::Finish(*hypervisor_, second, second_plan), IsOk());
  EXPECT_THAT(lab::Finish(*hypervisor_, first, first_plan), IsOk());
  EXPECT_EQ(Digest(Path("golden")), golden);
  EXPECT_EQ(lab::ByteOf(Path("one"), "qcow2", 0), 0x55);
  EXPECT_EQ(lab::ByteOf(Path("two"), "qcow2", 0), 0x33);
  EXPECT_EQ(one.Definition(), first.inactive_xml);
  EXPECT_EQ(two.Definition(), second.inactive_xml);
}

// A template that is off, while a VM runs on top of it: its own start would be refused by QEMU's
// lock.
TEST_F(ShapesTest, TemplateInUseIsBusy) {
  lab::MakeImage(Path("golden"), "qcow2", 0, 0x33);
  lab::MakeImage(Path("clone"), "qcow2", kMiB, 0x44, {"-b", Path("golden"), "-F", "qcow2"});
  const lab::ShapedVm golden(lab::DiskElement("qcow2", Path("golden"), "vda"));
  const lab::ShapedVm clone(lab::DiskElement("qcow2", Path("clone"), "vda"));
  clone.PowerOn();
  EXPECT_THAT(hypervisor_->Describe(golden.uuid()), HasReason("VM_BUSY"));
  clone.PowerOff();
  EXPECT_THAT(hypervisor_->Describe(golden.uuid()), IsOk());
}

TEST_F(ShapesTest, SnapshotOfAUserStaysAsItWas) {
  lab::MakeImage(Path("a.raw"), "raw", 0, 0x11);
  const lab::ShapedVm vm(lab::DiskElement("raw", Path("a.raw"), "vda"));
  vm.PowerOn();
  lab::Virsh({"snapshot-create-as", vm.uuid(), "theirs", "--disk-only", "--diskspec",
              "vda,file=" + Path("theirs.qcow2")});
  const std::string base = Digest(Path("a.raw"));
  const VmDescription before = Describe(vm);
  EXPECT_EQ(before.disks[0].source, Path("theirs.qcow2"));
  EXPECT_THAT(before.not_included, Contains(HasSubstr("snapshots")));
  const SnapshotPlan plan = PlanFor(before);
  ASSERT_THAT(hypervisor_->Snapshot(plan), IsOk());
  lab::WriteAsGuest(vm.uuid(), 0, 0, 0x22);
  ASSERT_THAT(lab::Finish(*hypervisor_, before, plan), IsOk());
  EXPECT_EQ(Digest(Path("a.raw")), base) << "merged into the user's base";
  EXPECT_EQ(lab::ByteOf(Path("theirs.qcow2"), "qcow2", 0), 0x22);
  EXPECT_EQ(vm.Definition(), before.inactive_xml);
  EXPECT_THAT(lab::Virsh({"snapshot-list", vm.uuid()}), HasSubstr("theirs"));
}

// A disk stored flat has no place for the snapshots inside of it.
TEST_F(ShapesTest, SnapshotsThatAFlatCopyLosesAreSaid) {
  lab::MakeImage(Path("golden"), "qcow2", 0, 0x33);
  lab::MakeImage(Path("top"), "qcow2", kMiB, 0x44, {"-b", Path("golden"), "-F", "qcow2"});
  lab::Run({"qemu-img", "snapshot", "-c", "inside", Path("top")});
  const lab::ShapedVm vm(lab::DiskElement("qcow2", Path("top"), "vda"));
  EXPECT_THAT(Describe(vm).not_included, ElementsAre(HasSubstr("snapshots inside of disk vda")));
}

TEST_F(ShapesTest, DisksThatAreNotTheVmsAloneAreLeftOut) {
  for (const char* name : {"own", "readonly", "shared", "transient", "iso"}) {
    lab::MakeImage(Path(name), "raw", 0, 0x11);
  }
  const lab::ShapedVm vm(absl::StrCat(
      lab::DiskElement("raw", Path("own"), "vda"),
      lab::DiskElement("raw", Path("readonly"), "vdb", "<readonly/>"),
      lab::DiskElement("raw", Path("shared"), "vdc", "<shareable/>"),
      lab::DiskElement("raw", Path("transient"), "vdd", "<transient/>"),
      "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='",
      Path("iso"), "'/><target dev='sda' bus='sata'/><readonly/></disk>",
      "<disk type='file' device='cdrom'><target dev='sdb' bus='sata'/><readonly/></disk>"));
  for (const bool running : {false, true}) {
    if (running) vm.PowerOn();
    const VmDescription before = Describe(vm);
    ASSERT_THAT(before.disks, SizeIs(1));
    std::vector<std::string> excluded;
    for (const ExcludedDisk& disk : before.excluded) {
      excluded.push_back(disk.target + " " + disk.reason);
    }
    EXPECT_THAT(excluded,
                ::testing::UnorderedElementsAre("vdb READ_ONLY", "vdc SHAREABLE", "vdd TRANSIENT",
                                                "sda CDROM", "sdb CDROM"));
    const SnapshotPlan plan = PlanFor(before);
    ASSERT_THAT(hypervisor_->Snapshot(plan), IsOk());
    int overlays = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      if (absl::StrContains(entry.path().string(), kOverlayMark)) ++overlays;
    }
    EXPECT_EQ(overlays, 1);
    ASSERT_THAT(lab::Finish(*hypervisor_, before, plan), IsOk());
    EXPECT_EQ(vm.Definition(), before.inactive_xml);
  }
}

TEST_F(ShapesTest, NamesOfAnyKind) {
  const std::string folder = Path("säule 'an' & b=c;d");
  std::filesystem::create_directory(folder);
  const std::string base = folder + "/no extension";
  const std::string chained = folder + "/" + std::string(160, 'l') + "ü x:y z";
  lab::MakeImage(base, "qcow2", 0, 0x11);
  lab::Run({"qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", chained});
  const lab::ShapedVm vm(lab::DiskElement("qcow2", chained, "vda"));
  const VmDescription before = Describe(vm);
  const SnapshotPlan plan = PlanFor(before);
  ASSERT_THAT(hypervisor_->Snapshot(plan), IsOk());
  vm.PowerOn();
  lab::WriteAsGuest(vm.uuid(), 0, kLate, 0x22);
  vm.PowerOff();  // so that qemu-img gets the names too
  ASSERT_THAT(lab::Finish(*hypervisor_, before, plan), IsOk());
  EXPECT_EQ(vm.Definition(), before.inactive_xml);
  EXPECT_EQ(lab::ByteOf(chained, "qcow2", 0), 0x11);
  EXPECT_EQ(lab::ByteOf(chained, "qcow2", kLate), 0x22);
}

// Seen with libvirt 9.0: what it makes of a comma, qemu-img does not take back.
TEST_F(ShapesTest, CommasInNamesAreForRunningVms) {
  const std::string folder = Path("a,b");
  std::filesystem::create_directory(folder);
  lab::MakeImage(folder + "/golden,1", "qcow2", 0, 0x11);
  lab::Run({"qemu-img", "create", "-q", "-f", "qcow2", "-b", folder + "/golden,1", "-F", "qcow2",
            folder + "/c,d"});
  const lab::ShapedVm vm(lab::DiskElement("qcow2", folder + "/c,d", "vda"));
  EXPECT_THAT(hypervisor_->Describe(vm.uuid()),
              AllOf(HasReason("CANNOT_BACK_UP"),
                    StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("comma"))));
  vm.PowerOn();
  const VmDescription before = Describe(vm);
  const SnapshotPlan plan = PlanFor(before);
  ASSERT_THAT(hypervisor_->Snapshot(plan), IsOk());
  lab::WriteAsGuest(vm.uuid(), 0, kLate, 0x22);
  vm.PowerOff();  // qemu-img commit must take the names apart
  ASSERT_THAT(lab::Finish(*hypervisor_, before, plan), IsOk());
  EXPECT_EQ(vm.Definition(), before.inactive_xml);
  EXPECT_EQ(lab::ByteOf(folder + "/c,d", "qcow2", kLate), 0x22);
}

TEST_F(ShapesTest, EightDisks) {
  std::string disks;
  for (char letter = 'a'; letter < 'i'; ++letter) {
    const std::string target = absl::StrCat("vd", std::string(1, letter));
    const std::string format = letter % 2 == 0 ? "raw" : "qcow2";
    lab::MakeImage(Path(target), format, 0, 0x11);
    disks += lab::DiskElement(format, Path(target), target);
  }
  const lab::ShapedVm vm(disks);
  vm.PowerOn();
  const VmDescription before = Describe(vm);
  ASSERT_THAT(before.disks, SizeIs(8));
  const SnapshotPlan plan = PlanFor(before);
  ASSERT_THAT(hypervisor_->Snapshot(plan), IsOk());
  for (int disk = 0; disk < 8; ++disk) lab::WriteAsGuest(vm.uuid(), disk, kLate, 0x22);
  ASSERT_THAT(lab::Finish(*hypervisor_, before, plan), IsOk());
  EXPECT_EQ(vm.Definition(), before.inactive_xml);
  for (const Disk& disk : before.disks) {
    EXPECT_EQ(lab::ByteOf(disk.source, disk.format, kLate), 0x22);
  }
}

// QEMU maps any bytes as firmware: nothing has to run on it.
TEST_F(ShapesTest, FirmwareVariables) {
  lab::Run({"truncate", "-s", "256K", Path("code.fd")});
  lab::Run({"truncate", "-s", "128K", Path("template.fd")});
  lab::MakeImage(Path("a"), "raw", 0, 0x11);
  const std::string nvram = Path("nvram.fd");
  const lab::ShapedVm vm(
      lab::DiskElement("raw", Path("a"), "vda"),
      absl::StrCat("<loader readonly='yes' type='pflash'>", Path("code.fd"),
                   "</loader><nvram template='", Path("template.fd"), "'>", nvram, "</nvram>"));
  EXPECT_EQ(Describe(vm).nvram, "") << "it is made at the first start";
  vm.PowerOn();
  const VmDescription before = Describe(vm);
  ASSERT_EQ(before.nvram, nvram);
  const SnapshotPlan plan = PlanFor(before);
  ASSERT_THAT(hypervisor_->Snapshot(plan), IsOk());
  const lab::Copies copies = lab::CopyDisks(*hypervisor_, before);
  lab::Run({"cp", nvram, copies.folder + "/nvram"});
  ASSERT_THAT(lab::Finish(*hypervisor_, before, plan), IsOk());
  EXPECT_EQ(vm.Definition(), before.inactive_xml);

  vm.PowerOff();
  vm.Undefine();
  std::filesystem::remove(nvram);
  EXPECT_THAT(lab::Run({"head", "-n", "5", copies.folder + "/domain.xml"}),
              HasSubstr("nvram -> " + nvram));
  lab::Run({"cp", copies.folder + "/nvram", nvram});
  lab::RestoreByHand(before, copies);
  vm.PowerOn();
  EXPECT_EQ(vm.Definition(), before.inactive_xml);
}

// Seen with libvirt 9.0: it moves the channel's controller when it reads its own definition back.
TEST_F(ShapesTest, DefinitionThatLibvirtSortsAnewIsPutBack) {
  lab::MakeImage(Path("a"), "raw", 0, 0x11);
  const lab::ShapedVm vm(absl::StrCat(
      lab::DiskElement("raw", Path("a"), "vda"),
      "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"));
  const VmDescription before = Describe(vm);
  const SnapshotPlan plan = PlanFor(before);
  ASSERT_THAT(hypervisor_->Snapshot(plan), IsOk());
  ASSERT_THAT(lab::Finish(*hypervisor_, before, plan), IsOk());
  EXPECT_THAT(hypervisor_->Restore(before, plan.disks), IsOk()) << "once more";
  const VmDescription after = Describe(vm);
  EXPECT_NE(after.inactive_xml, before.inactive_xml) << "then the exception is not needed";
  const SnapshotPlan again = PlanFor(after);
  ASSERT_THAT(hypervisor_->Snapshot(again), IsOk());
  ASSERT_THAT(lab::Finish(*hypervisor_, after, again), IsOk());
  EXPECT_EQ(Describe(vm).inactive_xml, after.inactive_xml);
}

TEST_F(ShapesTest, WhatCannotBeBackedUpIsRefusedAndUntouched) {
  lab::MakeImage(Path("a"), "raw", 0, 0x11);
  const std::string own = lab::DiskElement("raw", Path("a"), "vda");
  const lab::ShapedVm network(
      absl::StrCat(own,
                   "<disk type='network' device='disk'><driver name='qemu' type='raw'/><source "
                   "protocol='nbd' name='x'><host name='localhost' port='10809'/></source><target "
                   "dev='vdb' bus='virtio'/></disk>"));
  EXPECT_THAT(hypervisor_->Describe(network.uuid()),
              AllOf(HasReason("CANNOT_BACK_UP"),
                    StatusIs(absl::StatusCode::kFailedPrecondition,
                             AllOf(HasSubstr("vdb"), HasSubstr("virsh blockcopy")))));
  const lab::ShapedVm luks(absl::StrCat(
      own, "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='",
      Path("a"), "'><encryption format='luks'><secret type='passphrase' uuid='", network.uuid(),
      "'/></encryption></source><target dev='vdb' bus='virtio'/></disk>"));
  EXPECT_THAT(hypervisor_->Describe(luks.uuid()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("encrypted")));
  const lab::ShapedVm slice(absl::StrCat(
      own, "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='",
      Path("a"),
      "'><slices><slice type='storage' offset='0' size='4096'/></slices></source>"
      "<target dev='vdb' bus='virtio'/></disk>"));
  EXPECT_THAT(hypervisor_->Describe(slice.uuid()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("part of its file")));
  const lab::ShapedVm chain(
      lab::DiskElement("raw", Path("a"), "vda",
                       absl::StrCat("<backingStore type='file'><format type='raw'/><source file='",
                                    Path("b"), "'/><backingStore/></backingStore>")));
  EXPECT_THAT(hypervisor_->Describe(chain.uuid()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another backing file")));
  EXPECT_THAT(hypervisor_->ListVms(), IsOk());
}

}  // namespace
}  // namespace vmkeep::executor
