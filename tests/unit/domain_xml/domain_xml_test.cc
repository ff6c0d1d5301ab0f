#include "executor/hypervisor/libvirt/domain_xml.h"

#include "tests/support/status_matchers.h"
#include "tests/unit/domain_xml/fixtures.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <string>

namespace vmkeep::executor::libvirt {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
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

DomainXml Parse(const std::string& xml) {
  absl::StatusOr<DomainXml> domain = ParseDomain(xml);
  EXPECT_THAT(domain, IsOk());
  return domain.ok() ? *std::move(domain) : DomainXml{};
}

DiskXml ParseDisk(absl::string_view disk) {
  DomainXml domain = Parse(fixtures::Domain(disk));
  EXPECT_EQ(domain.disks.size(), 1u);
  return domain.disks.empty() ? DiskXml{} : domain.disks.front();
}

TEST(ParseDomainTest, SimpleDisk) {
  const DomainXml domain = Parse(fixtures::Domain(fixtures::kSimpleDisk));
  EXPECT_EQ(domain.uuid, fixtures::kUuid);
  EXPECT_EQ(domain.name, "web");
  ASSERT_EQ(domain.disks.size(), 1u);
  const DiskXml& disk = domain.disks[0];
  EXPECT_EQ(disk.target, "vda");
  EXPECT_EQ(disk.device, "disk");
  EXPECT_EQ(disk.type, "file");
  EXPECT_EQ(disk.format, "raw");
  EXPECT_EQ(disk.source, "/vm/a.raw");
  EXPECT_FALSE(disk.empty || disk.readonly || disk.shareable || disk.transient || disk.encrypted ||
               disk.slice);
  EXPECT_EQ(disk.data_file, "");
  EXPECT_TRUE(disk.whole_chain);
  EXPECT_THAT(disk.backing, IsEmpty()) << "an empty backingStore ends the chain";
  EXPECT_FALSE(disk.mirror.has_value());
}

TEST(ParseDomainTest, UuidIsLowerCase) {
  EXPECT_EQ(Parse("<domain><uuid> ABCDEF00-2222-4333-8444-55555555ABCD\n</uuid></domain>").uuid,
            "abcdef00-2222-4333-8444-55555555abcd");
}

TEST(ParseDomainTest, ChainOfThree) {
  const DiskXml disk = ParseDisk(R"(<disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='/vm/top'/>
      <backingStore type='file'><format type='qcow2'/><source file='/vm/middle'/>
        <backingStore type='block'><format type='raw'/><source dev='/dev/sdx'/><backingStore/></backingStore>
      </backingStore>
      <target dev='vdb'/></disk>)");
  ASSERT_EQ(disk.backing.size(), 2u);
  EXPECT_EQ(disk.backing[0].file, "/vm/middle");
  EXPECT_EQ(disk.backing[0].format, "qcow2");
  EXPECT_EQ(disk.backing[1].file, "/dev/sdx");
  EXPECT_TRUE(disk.whole_chain);
}

TEST(ParseDomainTest, KindsOfDisks) {
  EXPECT_TRUE(ParseDisk("<disk><target dev='a'/></disk>").empty);
  EXPECT_TRUE(ParseDisk("<disk><source/><target dev='a'/></disk>").empty);
  EXPECT_EQ(ParseDisk("<disk><target dev='a'/></disk>").device, "disk") << "libvirt's default";
  EXPECT_EQ(ParseDisk("<disk device='cdrom'><target dev='a'/></disk>").device, "cdrom");
  EXPECT_TRUE(ParseDisk("<disk><readonly/><target dev='a'/></disk>").readonly);
  EXPECT_TRUE(ParseDisk("<disk><shareable/><target dev='a'/></disk>").shareable);
  EXPECT_TRUE(ParseDisk("<disk><transient/><target dev='a'/></disk>").transient);
  EXPECT_TRUE(ParseDisk("<disk><encryption format='luks'/><target dev='a'/></disk>").encrypted);
  EXPECT_TRUE(ParseDisk("<disk><source file='/a'><encryption format='luks'/></source>"
                        "<target dev='a'/></disk>")
                  .encrypted);
  EXPECT_TRUE(ParseDisk("<disk><source file='/a'><slices><slice type='storage' offset='1' "
                        "size='2'/></slices></source><target dev='a'/></disk>")
                  .slice);
  EXPECT_EQ(ParseDisk("<disk><source file='/a'><dataStore type='file'><source file='/d'/>"
                      "</dataStore></source><target dev='a'/></disk>")
                .data_file,
            "/d");
  EXPECT_EQ(ParseDisk("<disk type='block'><source dev='/dev/x'/><target dev='a'/></disk>").source,
            "/dev/x");
  const DiskXml network =
      ParseDisk("<disk type='network'><source protocol='rbd' name='p/i'/><target dev='a'/></disk>");
  EXPECT_EQ(network.type, "network");
  EXPECT_EQ(network.protocol, "rbd");
  EXPECT_EQ(network.source, "");
  EXPECT_FALSE(network.empty);
}

TEST(ParseDomainTest, MirrorTellsJobAndReadiness) {
  const DiskXml running = ParseDisk(fixtures::OnOverlay(fixtures::kMirror));
  ASSERT_TRUE(running.mirror.has_value());
  EXPECT_EQ(running.mirror->job, "active-commit");
  EXPECT_EQ(running.mirror->file, "/vm/a.raw");
  EXPECT_FALSE(running.mirror->ready);
  EXPECT_TRUE(ParseDisk(fixtures::OnOverlay(fixtures::kReadyMirror)).mirror->ready);
  // What libvirt writes while it pivots.
  EXPECT_FALSE(
      ParseDisk(fixtures::OnOverlay("<mirror job='active-commit' ready='pivot'/>")).mirror->ready);
}

TEST(ParseDomainTest, AgentChannel) {
  const auto agent = [](absl::string_view channel) {
    return Parse(fixtures::Domain(channel)).agent;
  };
  EXPECT_EQ(agent(""), AgentChannel::kNone);
  EXPECT_EQ(agent("<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0' "
                  "state='connected'/></channel>"),
            AgentChannel::kNone);
  EXPECT_EQ(agent("<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/>"
                  "</channel>"),
            AgentChannel::kDisconnected);
  EXPECT_EQ(agent("<channel/><channel type='unix'><target type='virtio' "
                  "name='org.qemu.guest_agent.0' state='connected'/></channel>"),
            AgentChannel::kConnected);
}

TEST(ParseDomainTest, AppArmorLabel) {
  const auto confined = [](absl::string_view label) {
    return Parse(fixtures::Domain("", "", label)).apparmor;
  };
  EXPECT_TRUE(
      confined("<seclabel type='dynamic' model='dac' relabel='yes'/>"
               "<seclabel type='dynamic' model='apparmor' relabel='yes'>"
               "<label>libvirt-11111111</label></seclabel>"));
  EXPECT_TRUE(confined("<seclabel type='static' model='apparmor'><label>mine</label></seclabel>"));
  EXPECT_FALSE(confined("<seclabel type='none' model='apparmor'/>"));
  EXPECT_FALSE(confined("<seclabel type='dynamic' model='selinux' relabel='yes'/>"));
  EXPECT_FALSE(confined(""));
}

TEST(ParseDomainTest, NvramInBothForms) {
  EXPECT_EQ(Parse(fixtures::Domain("", "<os><nvram template='/t'>/nv/web.fd</nvram></os>")).nvram,
            "/nv/web.fd");
  EXPECT_EQ(
      Parse(fixtures::Domain("", "<os><nvram type='file'><source file='/nv/b'/></nvram></os>"))
          .nvram,
      "/nv/b");
  EXPECT_EQ(Parse(fixtures::Domain("")).nvram, "");
}

TEST(ParseDomainTest, WhatIsNoDiskIsSaid) {
  EXPECT_THAT(
      Parse(fixtures::Domain("<tpm model='tpm-crb'/><filesystem type='mount'/>")).not_included,
      ElementsAre(HasSubstr("TPM"), HasSubstr("folders")));
}

TEST(ParseDomainTest, GarbageIsRefused) {
  for (const char* text :
       {"", " ", "<", "<domain", "<domain>", "<domain></domian>", "no xml", "<network/>",
        "<domainsnapshot><domain/></domainsnapshot>", "\xFF\xFE\x00", "<domain>&#xFFFFFFFF;"}) {
    EXPECT_THAT(ParseDomain(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
  EXPECT_THAT(ParseDomain(absl::string_view("<domain/>\0<x>", 13)), Not(IsOk()));
}

TEST(ParseDomainTest, DiskWithoutATargetOfItsOwnIsRefused) {
  EXPECT_THAT(ParseDomain(fixtures::Domain("<disk/>")), Not(IsOk()));
  EXPECT_THAT(ParseDomain(fixtures::Domain("<disk><target dev=''/></disk>")), Not(IsOk()));
  EXPECT_THAT(ParseDomain(fixtures::Domain("<disk><target dev='a'/></disk>"
                                           "<disk><target dev='a'/></disk>")),
              Not(IsOk()));
}

// Errors reach logs and the wire; XML read with VIR_DOMAIN_XML_SECURE holds passwords.
TEST(ParseDomainTest, ErrorsQuoteNothing) {
  EXPECT_THAT(ParseDomain("<domain><graphics passwd='hunter2'></domain>").status().message(),
              Not(HasSubstr("hunter2")));
  EXPECT_THAT(
      ParseDomain(fixtures::Domain("<disk><auth username='hunter2'/></disk>")).status().message(),
      Not(HasSubstr("hunter2")));
}

TEST(ParseDomainTest, EveryBeginningOfAnXmlIsSurvived) {
  const std::string xml = fixtures::Domain(fixtures::OnOverlay(fixtures::kReadyMirror));
  const size_t whole = xml.rfind('>') + 1;  // blanks may follow
  for (size_t size = 0; size < whole; ++size) {
    EXPECT_FALSE(ParseDomain(xml.substr(0, size)).ok()) << size;
  }
  for (size_t at = 0; at < xml.size(); ++at) {
    std::string broken = xml;
    broken[at] = static_cast<char>(broken[at] ^ 0x15);
    (void)ParseDomain(broken);
    (void)Names(broken, "/vm/a.raw");
    (void)RestoreXmlFrom(broken, {{"vda", "f", "raw"}}, "");
  }
}

std::string ChainOf(int images) {
  std::string open;
  std::string close;
  for (int i = 0; i < images; ++i) {
    open += "<backingStore><source file='/x'/>";
    close += "</backingStore>";
  }
  return fixtures::Domain(
      absl::StrCat("<disk><source file='/top'/>", open, close, "<target dev='vda'/></disk>"));
}

// As deep as is read, and longer than any chain that QEMU opens.
TEST(ParseDomainTest, LongChainIsCut) {
  const std::string xml = ChainOf(400);
  const absl::StatusOr<DomainXml> domain = ParseDomain(xml);
  ASSERT_THAT(domain, IsOk());
  EXPECT_EQ(domain->disks[0].backing.size(), 256u);
  EXPECT_THAT(Names(xml, "/x"), IsOkAndHolds(true));
  EXPECT_THAT(RestoreXmlFrom(xml, {{"vda", "f", "raw"}}, ""), IsOk());
}

// Below the limit of size, so that it is the depth that is refused.
TEST(ParseDomainTest, DeepNestingIsRefusedByEveryReader) {
  const std::string xml = ChainOf(150'000);
  const auto refused = StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("deep"));
  EXPECT_THAT(ParseDomain(xml), refused);
  EXPECT_THAT(Names(xml, "/y"), refused);
  EXPECT_THAT(RestoreXmlFrom(xml, {{"vda", "f", "raw"}}, ""), refused);
}

TEST(ParseDomainTest, HugeTextIsRefusedUnread) {
  EXPECT_THAT(ParseDomain("<domain>" + std::string(9 << 20, ' ') + "</domain>"), Not(IsOk()));
}

TEST(ParseDomainTest, EntitiesAreNotExpanded) {
  const DomainXml domain = Parse(
      "<!DOCTYPE domain [<!ENTITY a \"aaaaaaaa\"><!ENTITY b SYSTEM \"file:///etc/passwd\">]>"
      "<domain><name>&a;&b;</name></domain>");
  EXPECT_EQ(domain.name, "&a;&b;");
}

TEST(OverlaysInTest, FindsOursWithTheirBases) {
  const std::vector<OverlayDisk> overlays =
      OverlaysIn(Parse(fixtures::Domain(fixtures::OnOverlay())));
  ASSERT_EQ(overlays.size(), 1u);
  EXPECT_EQ(overlays[0].vm_uuid, fixtures::kUuid);
  EXPECT_EQ(overlays[0].target, "vda");
  EXPECT_EQ(overlays[0].base, "/vm/a.raw");
  EXPECT_EQ(overlays[0].base_format, "raw");
  EXPECT_EQ(overlays[0].overlay, Vda().overlay);
  EXPECT_THAT(OverlaysIn(Parse(fixtures::Domain(fixtures::kSimpleDisk))), IsEmpty());
}

// After an offline snapshot the definition has no chain.
TEST(OverlaysInTest, BaseMayBeUnknown) {
  const std::vector<OverlayDisk> overlays = OverlaysIn(Parse(fixtures::Domain(
      absl::StrCat("<disk><source file='", Vda().overlay, "'/><target dev='vda'/></disk>"))));
  ASSERT_EQ(overlays.size(), 1u);
  EXPECT_EQ(overlays[0].base, "");
}

TEST(OverlaysInTest, FindsOursBelowASnapshotOfSomebodyElse) {
  const std::string xml = absl::StrReplaceAll(
      fixtures::Domain(fixtures::OnOverlay()),
      {{"<backingStore type='file' index='3'>",
        "<backingStore type='file'><format type='qcow2'/><source file='/vm/old.vmkeep-x.qcow2'/>"
        "<backingStore type='file' index='3'>"},
       {"<backingStore/>\n      </backingStore>", "</backingStore></backingStore>"}});
  const std::vector<OverlayDisk> overlays = OverlaysIn(Parse(xml));
  ASSERT_EQ(overlays.size(), 2u);
  EXPECT_EQ(overlays[1].overlay, "/vm/old.vmkeep-x.qcow2");
  EXPECT_EQ(overlays[1].base, "/vm/a.raw");
}

TEST(NamesTest, FindsAPathAnywhere) {
  const std::string xml =
      fixtures::Domain(fixtures::OnOverlay(), "<os><loader> /fw &amp; co/code.fd\n</loader></os>");
  EXPECT_THAT(Names(xml, Vda().overlay), IsOkAndHolds(true));
  EXPECT_THAT(Names(xml, "/vm/a.raw"), IsOkAndHolds(true)) << "in the chain";
  EXPECT_THAT(Names(xml, "/fw & co/code.fd"), IsOkAndHolds(true));
  EXPECT_THAT(Names(xml, "/vm/a.ra"), IsOkAndHolds(false)) << "a part of a path is another path";
  EXPECT_THAT(Names("junk", "/x"), Not(IsOk()));
}

TEST(SameButForImagesTest, SeesEverythingElse) {
  const std::string before = fixtures::Domain(fixtures::kSimpleDisk);
  const std::string on_overlay =
      absl::StrReplaceAll(fixtures::Domain(fixtures::OnOverlay()), {{"\n      <alias", "<alias"}});
  EXPECT_THAT(SameButForImages(before, on_overlay, {Vda()}), IsOkAndHolds(true));
  EXPECT_THAT(SameButForImages(before, on_overlay, {}), IsOkAndHolds(false));
  EXPECT_THAT(SameButForImages(before, absl::StrReplaceAll(on_overlay, {{"web", "shop"}}), {Vda()}),
              IsOkAndHolds(false));
  EXPECT_THAT(SameButForImages("junk", before, {Vda()}), Not(IsOk()));
}

// A block device's overlay is a file.
TEST(SameButForImagesTest, KindOfSourceBelongsToTheImage) {
  const std::string device =
      fixtures::Domain("<disk type='block'><source dev='/dev/x'/><target dev='vda'/></disk>");
  const std::string file =
      fixtures::Domain("<disk type='file'><source file='/o'/><target dev='vda'/></disk>");
  EXPECT_THAT(SameButForImages(device, file, {Vda()}), IsOkAndHolds(true));
  EXPECT_THAT(SameButForImages(device, file, {}), IsOkAndHolds(false));
}

// Seen with libvirt 9.0: a definition with a guest agent's channel, read back by libvirt itself.
TEST(SameButForOrderTest, OfDevicesOfDifferentTypesOnly) {
  const std::string serial = "<controller type='virtio-serial' index='0'/>";
  const std::string pci = "<controller type='pci' index='1'/><controller type='pci' index='2'/>";
  const auto same = [](const std::string& one, const std::string& other) {
    return SameButForOrder(fixtures::Domain(one), fixtures::Domain(other));
  };
  EXPECT_THAT(same(serial + pci, pci + serial), IsOkAndHolds(true));
  EXPECT_THAT(same(pci, "<controller type='pci' index='2'/><controller type='pci' index='1'/>"),
              IsOkAndHolds(false));
  EXPECT_THAT(same(serial + pci, pci), IsOkAndHolds(false));
  EXPECT_THAT(same(serial, "<controller type='virtio-serial' index='1'/>"), IsOkAndHolds(false));
  EXPECT_THAT(SameButForOrder(fixtures::Domain(pci), fixtures::Domain(pci, "<memory/>")),
              IsOkAndHolds(false));
  EXPECT_THAT(SameButForOrder("junk", "junk"), Not(IsOk()));
}

TEST(SnapshotXmlTest, ListsEveryTarget) {
  EXPECT_EQ(
      SnapshotXml({.vm_uuid = fixtures::kUuid, .disks = {Vda()}, .untouched = {"sda", "sdb"}}),
      R"(<domainsnapshot>
  <disks>
    <disk name="vda" snapshot="external" type="file">
      <driver type="qcow2" />
      <source file="/vm/a.raw.vmkeep-01990000-0000-7000-8000-000000000001.qcow2" />
    </disk>
    <disk name="sda" snapshot="no" />
    <disk name="sdb" snapshot="no" />
  </disks>
</domainsnapshot>
)");
}

TEST(SnapshotXmlTest, NamesCannotBreakOut) {
  OverlayDisk disk = Vda();
  disk.overlay = "/vm/\"/><x a='<&>.vmkeep-t.qcow2";
  EXPECT_THAT(SnapshotXml({.vm_uuid = "", .disks = {disk}, .untouched = {}}),
              HasSubstr("/vm/&quot;/>&lt;x a='&lt;&amp;>.vmkeep-t.qcow2\" />"));
}

// libxml2, and so libvirt, reads no such text. Seen to end the process when its tree is cut down.
TEST(DomainXmlTest, ADeepTextIsRefused) {
  const auto nested = [](size_t levels) {
    std::string text = "<backingStore>";
    for (size_t i = 0; i < levels; ++i) text += "<a>";
    for (size_t i = 0; i < levels; ++i) text += "</a>";
    return fixtures::Domain("<disk><driver type='raw'/><source file='/a'/><target dev='vda'/>" +
                            text + "</backingStore></disk>");
  };
  EXPECT_THAT(RestoreXmlFrom(nested(200), {{"vda", "disk-vda.raw", "raw"}}, ""), IsOk());
  EXPECT_THAT(RestoreXmlFrom(nested(1'000'000), {{"vda", "disk-vda.raw", "raw"}}, ""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("deep")));
}

TEST(DomainXmlTest, ManyDisksTakeLittleTime) {
  std::string disks;
  for (int i = 0; i < 100'000; ++i)
    absl::StrAppend(&disks, "<disk><target dev='d", i, "'/></disk>");
  const std::clock_t begun = std::clock();
  EXPECT_EQ(Parse(fixtures::Domain(disks)).disks.size(), 100'000u);
  EXPECT_LT((std::clock() - begun) / CLOCKS_PER_SEC, 2);
}

}  // namespace
}  // namespace vmkeep::executor::libvirt
