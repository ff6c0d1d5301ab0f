#include "executor/hypervisor/libvirt/preflight.h"

#include "executor/hypervisor/libvirt/commit_command.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/domain_xml/fixtures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmkeep::executor::libvirt {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::vmkeep::test::HasReason;
using ::vmkeep::test::IsOk;
using ::vmkeep::test::IsOkAndHolds;
using ::vmkeep::test::StatusIs;

OverlayDisk Vda() {
  return {.vm_uuid = fixtures::kUuid,
          .target = "vda",
          .base = "/vm/a.raw",
          .base_format = "raw",
          .overlay = OverlayPath("/vm/a.raw", fixtures::kTask)};
}

DomainXml Parse(absl::string_view devices, absl::string_view behind = "") {
  absl::StatusOr<DomainXml> domain = ParseDomain(fixtures::Domain(devices, "", behind));
  EXPECT_THAT(domain, IsOk());
  return domain.ok() ? *std::move(domain) : DomainXml{};
}

TEST(ChooseDisksTest, TakesBlockDevicesAndChains) {
  const DomainXml off = Parse(R"(
    <disk type='block' device='disk'><driver type='raw'/><source dev='/dev/vg/a'/><target dev='vda'/></disk>
    <disk type='file' device='disk'><driver type='qcow2'/><source file='/vm/b'/><backingStore type='file'>
      <format type='qcow2'/><source file='/vm/golden'/></backingStore><target dev='vdb'/></disk>)");
  const absl::StatusOr<DiskChoice> choice = ChooseDisks(off, nullptr);
  ASSERT_THAT(choice, IsOk());
  ASSERT_EQ(choice->disks.size(), 2u);
  EXPECT_EQ(choice->disks[0].source, "/dev/vg/a");
  EXPECT_TRUE(choice->disks[0].block_device);
  EXPECT_FALSE(choice->disks[1].block_device);
}

TEST(ChooseDisksTest, TakesTheSimpleOnesAndNamesTheRest) {
  const DomainXml live = Parse(absl::StrCat(fixtures::kSimpleDisk, R"(
    <disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>
    <disk type='file' device='cdrom'><source file='/iso'/><target dev='sdb'/><readonly/></disk>
    <disk type='file' device='floppy'><source file='/f'/><target dev='fda'/></disk>
    <disk type='block' device='lun'><source dev='/dev/sdx'/><target dev='sdc'/></disk>
    <disk type='file' device='disk'><source file='/ro'/><target dev='vdb'/><readonly/></disk>
    <disk type='network' device='disk'><source protocol='nbd'/><target dev='vdc'/><readonly/></disk>
    <disk type='file' device='disk'><source file='/sh'/><target dev='vdd'/><shareable/></disk>
    <disk type='file' device='disk'><source file='/tr'/><target dev='vde'/><transient/></disk>
    <disk type='file' device='disk'><target dev='vdf'/></disk>)"));
  const absl::StatusOr<DiskChoice> choice = ChooseDisks(live, &live);
  ASSERT_THAT(choice, IsOk());
  ASSERT_EQ(choice->disks.size(), 1u);
  EXPECT_EQ(choice->disks[0].source, "/vm/a.raw");
  EXPECT_EQ(choice->disks[0].format, "raw");
  std::vector<std::string> excluded;
  for (const ExcludedDisk& disk : choice->excluded) {
    excluded.push_back(disk.target + " " + disk.reason);
  }
  EXPECT_THAT(excluded,
              ElementsAre("sda CDROM", "sdb CDROM", "fda FLOPPY", "sdc LUN", "vdb READ_ONLY",
                          "vdc READ_ONLY", "vdd SHAREABLE", "vde TRANSIENT", "vdf EMPTY"));
}

struct Refused {
  const char* name;
  const char* disk;
  const char* why;
};
class RefusedDiskTest : public ::testing::TestWithParam<Refused> {};

TEST_P(RefusedDiskTest, WithASentence) {
  // A simple disk beside it does not make it better.
  const DomainXml live = Parse(absl::StrCat(fixtures::kSimpleDisk, GetParam().disk));
  EXPECT_THAT(
      ChooseDisks(live, nullptr),
      AllOf(HasReason("CANNOT_BACK_UP"),
            StatusIs(absl::StatusCode::kFailedPrecondition,
                     AllOf(HasSubstr("web"), HasSubstr("disk vdb"), HasSubstr(GetParam().why)))));
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, RefusedDiskTest,
    ::testing::Values(
        Refused{"Network",
                "<disk type='network'><driver type='raw'/><source protocol='rbd'/><target "
                "dev='vdb'/></disk>",
                "(rbd)"},
        Refused{"Volume",
                "<disk type='volume'><driver type='raw'/><source pool='p' volume='v'/><target "
                "dev='vdb'/></disk>",
                "virsh vol-path"},
        Refused{"Nvme",
                "<disk type='nvme'><driver type='raw'/><source type='pci'/><target "
                "dev='vdb'/></disk>",
                "of type 'nvme'"},
        Refused{"Vmdk", "<disk><driver type='vmdk'/><source file='/x'/><target dev='vdb'/></disk>",
                "only raw and qcow2"},
        Refused{"NoFormat",
                "<disk><driver name='qemu'/><source file='/x'/><target dev='vdb'/></disk>",
                "no declared driver type"},
        Refused{"NoDriver", "<disk><source file='/x'/><target dev='vdb'/></disk>",
                "no declared driver type"},
        Refused{"Relative",
                "<disk><driver type='raw'/><source file='x'/><target dev='vdb'/></disk>",
                "no absolute path"},
        Refused{"Slice",
                "<disk><driver type='raw'/><source file='/x'><slices/></source><target "
                "dev='vdb'/></disk>",
                "part of its file"},
        Refused{"Luks",
                "<disk><driver type='qcow2'/><source file='/x'><encryption/></source><target "
                "dev='vdb'/></disk>",
                "encrypted"},
        Refused{
            "Odd",
            "<disk device='tape'><driver type='raw'/><source file='/x'/><target dev='vdb'/></disk>",
            "tape"}),
    [](const auto& param) { return param.param.name; });

TEST(ChooseDisksTest, VmWithoutADiskOfItsOwnIsRefused) {
  EXPECT_THAT(ChooseDisks(Parse(""), nullptr), HasReason("CANNOT_BACK_UP"));
  EXPECT_THAT(ChooseDisks(Parse("<disk device='cdrom'><target dev='sda'/></disk>"), nullptr),
              HasReason("CANNOT_BACK_UP"));
}

// What goes at the next start could not be merged after one.
TEST(ChooseDisksTest, DefinitionHasToNameTheSameImages) {
  const DomainXml live = Parse(fixtures::kSimpleDisk);
  EXPECT_THAT(ChooseDisks(live, nullptr), IsOk()) << "transient";
  const DomainXml without = Parse("");
  EXPECT_THAT(ChooseDisks(live, &without), HasReason("CANNOT_BACK_UP"));
  const DomainXml other =
      Parse("<disk><driver type='raw'/><source file='/vm/b.raw'/><target dev='vda'/></disk>");
  EXPECT_THAT(ChooseDisks(live, &other), HasReason("CANNOT_BACK_UP"));
  const DomainXml other_format =
      Parse("<disk><driver type='qcow2'/><source file='/vm/a.raw'/><target dev='vda'/></disk>");
  EXPECT_THAT(ChooseDisks(live, &other_format), HasReason("CANNOT_BACK_UP"));
}

TEST(CheckConfinementTest, OldLibvirtUnderAppArmorIsRefusedWithARemedy) {
  constexpr char kLabel[] =
      "<seclabel type='dynamic' model='apparmor' relabel='yes'><label>libvirt-1</label></seclabel>";
  const DomainXml confined = Parse(fixtures::kSimpleDisk, kLabel);
  EXPECT_THAT(
      CheckConfinement(confined, 9'000'000, false),
      AllOf(HasReason("CANNOT_BACK_UP"), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                  AllOf(HasSubstr("abstractions/libvirt-qemu"),
                                                        HasSubstr("--apparmor_allowed")))));
  EXPECT_THAT(CheckConfinement(confined, 12'000'999, false), HasReason("CANNOT_BACK_UP"));
  EXPECT_THAT(CheckConfinement(confined, 12'001'000, false), IsOk());
  EXPECT_THAT(CheckConfinement(confined, 9'000'000, true), IsOk()) << "the administrator's word";
  EXPECT_THAT(CheckConfinement(Parse(fixtures::kSimpleDisk), 9'000'000, false), IsOk());
}

TEST(PhaseInTest, RunningVm) {
  const auto phase = [](absl::string_view disk) { return PhaseIn(Parse(disk), true, Vda()); };
  EXPECT_THAT(phase(fixtures::OnOverlay()), IsOkAndHolds(MergePhase::kNone));
  EXPECT_THAT(phase(fixtures::OnOverlay(fixtures::kMirror)), IsOkAndHolds(MergePhase::kRunning));
  EXPECT_THAT(phase(fixtures::OnOverlay(fixtures::kReadyMirror)), IsOkAndHolds(MergePhase::kReady));
  EXPECT_THAT(phase(fixtures::kSimpleDisk), IsOkAndHolds(MergePhase::kMerged));
  // A user's chain below the base of an overlay whose journal is lost.
  EXPECT_THAT(phase("<disk><source file='/vm/a.raw'/><backingStore><source file='/golden'/>"
                    "</backingStore><target dev='vda'/></disk>"),
              IsOkAndHolds(MergePhase::kMerged));
}

TEST(PhaseInTest, Definition) {
  EXPECT_THAT(PhaseIn(Parse(fixtures::OnOverlay()), false, Vda()),
              IsOkAndHolds(MergePhase::kOffline));
  EXPECT_THAT(PhaseIn(Parse(absl::StrCat("<disk><source file='", Vda().overlay,
                                         "'/><target dev='vda'/></disk>")),
                      false, Vda()),
              IsOkAndHolds(MergePhase::kOffline))
      << "after an offline snapshot there is no chain";
  EXPECT_THAT(PhaseIn(Parse(fixtures::kSimpleDisk), false, Vda()),
              IsOkAndHolds(MergePhase::kMerged));
}

TEST(PhaseInTest, WhatIsNotOursIsNotTouched) {
  EXPECT_THAT(PhaseIn(Parse(""), true, Vda()), HasReason("HYPERVISOR_ERROR"));
  EXPECT_THAT(
      PhaseIn(Parse("<disk><source file='/vm/new'/><target dev='vda'/></disk>"), true, Vda()),
      AllOf(HasReason("HYPERVISOR_ERROR"),
            StatusIs(absl::StatusCode::kInternal, HasSubstr(Vda().overlay))));
  EXPECT_THAT(
      PhaseIn(Parse(absl::StrCat("<disk><source file='/vm/theirs'/><backingStore><source file='",
                                 Vda().overlay, "'/></backingStore><target dev='vda'/></disk>")),
              true, Vda()),
      AllOf(HasReason("VM_ON_OVERLAY"),
            StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("virsh blockcommit"))));
  EXPECT_THAT(PhaseIn(Parse(absl::StrCat("<disk><source file='", Vda().overlay,
                                         "'/><backingStore><source file='/vm/other'/>"
                                         "</backingStore><target dev='vda'/></disk>")),
                      true, Vda()),
              HasReason("HYPERVISOR_ERROR"))
      << "our overlay on another base";
}

TEST(PhaseInTest, JobOfSomebodyElseIsWaitedFor) {
  EXPECT_THAT(PhaseIn(Parse(fixtures::OnOverlay("<mirror job='copy' ready='yes'><source "
                                                "file='/elsewhere'/></mirror>")),
                      true, Vda()),
              HasReason("VM_BUSY"));
  EXPECT_THAT(PhaseIn(Parse(fixtures::OnOverlay("<mirror job='active-commit' ready='yes'><source "
                                                "file='/vm/golden'/></mirror>")),
                      true, Vda()),
              HasReason("VM_BUSY"));
}

// Seen with libvirt 9.0 when a merge failed on a full file system: the next look found no mirror.
TEST(PhaseInTest, JobThatEndsStillRuns) {
  EXPECT_THAT(PhaseIn(Parse(fixtures::OnOverlay("<mirror type='file' job=''><source "
                                                "file='/vm/a.raw'/></mirror>")),
                      true, Vda()),
              IsOkAndHolds(MergePhase::kRunning));
  EXPECT_THAT(PhaseIn(Parse(fixtures::OnOverlay("<mirror type='file' job=''><source "
                                                "file='/elsewhere'/></mirror>")),
                      true, Vda()),
              HasReason("VM_BUSY"))
      << "a copy of somebody else";
}

TEST(CheckChainTest, XmlAndHeadersMustAgree) {
  Disk disk;
  disk.target = "vda";
  disk.source = "/vm/top";
  disk.backing = {{"/vm/middle", "qcow2", ""}, {"/vm/golden", "raw", ""}};
  DiskXml xml;
  xml.backing = {{"/vm/middle", "qcow2"}, {"/vm/golden", "raw"}};
  xml.whole_chain = true;
  EXPECT_THAT(CheckChain(disk, xml), IsOk());
  xml.backing.pop_back();
  const auto refused = StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("virsh edit"));
  EXPECT_THAT(CheckChain(disk, xml), refused) << "the XML ends it earlier";
  xml.whole_chain = false;
  EXPECT_THAT(CheckChain(disk, xml), IsOk()) << "a definition leaves open what is below";
  xml.backing.clear();
  EXPECT_THAT(CheckChain(disk, xml), IsOk());
  xml.backing = {{"/vm/middle", "raw"}};
  EXPECT_THAT(CheckChain(disk, xml), refused) << "another format";
  xml.backing = {{"/vm/other", "qcow2"}};
  EXPECT_THAT(CheckChain(disk, xml), refused) << "another file";
  xml.backing = {{"", "raw"}};
  EXPECT_THAT(CheckChain(disk, xml), refused) << "no file";
  xml.backing = {{"/vm/middle", "qcow2"}, {"/vm/golden", "raw"}, {"/vm/below", "raw"}};
  EXPECT_THAT(CheckChain(disk, xml), refused) << "longer than the headers say: of a raw image, say";
  xml.backing.clear();
  xml.data_file = "/vm/data";
  EXPECT_THAT(CheckChain(disk, xml), refused) << "a data file that the header does not know";
}

TEST(CommitArgumentsTest, NamesEveryFormatAndDoublesCommas) {
  Disk base;
  base.source = "/vm/a,b.raw";
  base.format = "raw";
  EXPECT_THAT(CommitArguments("qemu-img", "/vm/a,b.raw.vmkeep-t.qcow2", base),
              ElementsAre("qemu-img", "commit", "-q", "-d", "--image-opts",
                          "driver=qcow2,file.driver=file,file.filename=/vm/a,,b.raw.vmkeep-t.qcow2,"
                          "backing.driver=raw,backing.file.driver=file,"
                          "backing.file.filename=/vm/a,,b.raw"));
}

TEST(CommitArgumentsTest, NamesTheWholeChain) {
  Disk base;
  base.source = "/vm/b";
  base.format = "qcow2";
  base.data_file = "/vm/b.data";
  base.backing = {{"/vm/middle", "qcow2", ""}, {"/vm/golden", "raw", ""}};
  EXPECT_EQ(CommitArguments("qemu-img", "/vm/o", base).back(),
            "driver=qcow2,file.driver=file,file.filename=/vm/o,"
            "backing.driver=qcow2,backing.file.driver=file,backing.file.filename=/vm/b,"
            "backing.data-file.driver=file,backing.data-file.filename=/vm/b.data,"
            "backing.backing.driver=qcow2,backing.backing.file.driver=file,"
            "backing.backing.file.filename=/vm/middle,"
            "backing.backing.backing.driver=raw,backing.backing.backing.file.driver=file,"
            "backing.backing.backing.file.filename=/vm/golden");
}

}  // namespace
}  // namespace vmkeep::executor::libvirt
