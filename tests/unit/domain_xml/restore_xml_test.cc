#include "executor/hypervisor/libvirt/domain_xml.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/domain_xml/fixtures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace vmkeep::executor::libvirt {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::vmkeep::test::IsOk;
using ::vmkeep::test::IsOkAndHolds;
using ::vmkeep::test::StatusIs;

constexpr char kDefinition[] =
    R"(<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web</name>
  <uuid>11111111-2222-4333-8444-555555555555</uuid>
  <metadata>
    <app:note xmlns:app='urn:app'>A &amp; B</app:note>
  </metadata>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none'/>
      <source file='/vm/a.qcow2'/>
      <backingStore type='file'>
        <format type='qcow2'/>
        <source file='/vm/golden.qcow2'/>
      </backingStore>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='disk'>
      <source file='/vm/b--1.raw'/>
      <target dev='vdb' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/>
      <source file='/iso/debian.iso'/>
      <target dev='sda' bus='sata'/>
      <readonly/>
    </disk>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-no-hpet'/>
  </qemu:commandline>
</domain>
)";

TEST(RestoreXmlTest, Golden) {
  EXPECT_THAT(RestoreXmlFrom(kDefinition,
                             {{"vda", "disk-vda.raw", "raw"}, {"vdb", "disk-vdb.raw", "raw"}}, ""),
              IsOkAndHolds(std::string(
                  R"(<!-- Restore: copy each file to its place, then `virsh define` this.
     disk-vda.raw -> /vm/a.qcow2
     vdb: its file -> the source of disk vdb -->
<domain type="kvm" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <name>web</name>
  <uuid>11111111-2222-4333-8444-555555555555</uuid>
  <metadata>
    <app:note xmlns:app="urn:app">A &amp; B</app:note>
  </metadata>
  <devices>
    <disk type="file" device="disk">
      <driver name="qemu" type="raw" cache="none" />
      <source file="/vm/a.qcow2" />
      <target dev="vda" bus="virtio" />
    </disk>
    <disk type="file" device="disk">
      <driver name="qemu" type="raw" />
      <source file="/vm/b--1.raw" />
      <target dev="vdb" bus="virtio" />
    </disk>
    <disk type="file" device="cdrom">
      <driver name="qemu" type="raw" />
      <source file="/iso/debian.iso" />
      <target dev="sda" bus="sata" />
      <readonly />
    </disk>
  </devices>
  <qemu:commandline>
    <qemu:arg value="-no-hpet" />
  </qemu:commandline>
</domain>
)")));
}

TEST(RestoreXmlTest, IsADomainAgain) {
  const absl::StatusOr<std::string> xml =
      RestoreXmlFrom(kDefinition, {{"vda", "disk--vda-", "raw"}}, "");
  ASSERT_THAT(xml, IsOk());
  EXPECT_THAT(ParseDomain(*xml), IsOk());
  EXPECT_THAT(ParseDomain(*xml)->disks[0].backing, IsEmpty());
}

TEST(RestoreXmlTest, LiveXmlOfATransientVmLosesItsId) {
  const absl::StatusOr<std::string> xml =
      RestoreXmlFrom(fixtures::Domain(fixtures::kSimpleDisk), {{"vda", "disk-vda.raw", "raw"}}, "");
  ASSERT_THAT(xml, IsOk());
  EXPECT_THAT(*xml, HasSubstr("<domain type=\"kvm\">"));
}

TEST(RestoreXmlTest, FlatCopyNeedsNothingElse) {
  const absl::StatusOr<std::string> xml = RestoreXmlFrom(
      fixtures::Domain("<disk type='block' device='disk'><driver name='qemu' type='qcow2' "
                       "cache='none' discard_no_unref='on'><metadata_cache><max_size "
                       "unit='bytes'>1024</max_size></metadata_cache></driver>"
                       "<source dev='/dev/vg/a'><dataStore type='file'><format type='raw'/>"
                       "<source file='/vm/data'/></dataStore></source><target dev='vda'/></disk>"),
      {{"vda", "disk-vda.raw", "raw"}}, "/nv/web.fd");
  ASSERT_THAT(xml, IsOk());
  EXPECT_THAT(*xml, HasSubstr("disk-vda.raw -> /dev/vg/a\n     nvram -> /nv/web.fd "));
  EXPECT_THAT(*xml, HasSubstr("<driver name=\"qemu\" type=\"raw\" cache=\"none\" />"));
  EXPECT_THAT(*xml, HasSubstr("<source dev=\"/dev/vg/a\" />"));
}

TEST(RestoreXmlTest, UnknownTargetIsRefused) {
  EXPECT_THAT(RestoreXmlFrom(kDefinition, {{"vdz", "disk-vdz.raw", "raw"}}, ""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("vdz")));
  EXPECT_THAT(RestoreXmlFrom("", {}, ""), Not(IsOk()));
}

}  // namespace
}  // namespace vmkeep::executor::libvirt
