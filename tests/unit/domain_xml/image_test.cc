#include "executor/hypervisor/libvirt/image.h"

#include "executor/hypervisor/libvirt/commit_command.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace vmkeep::executor::libvirt {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::vmkeep::test::IsOk;
using ::vmkeep::test::IsOkAndHolds;
using ::vmkeep::test::StatusIs;
using ::vmkeep::test::TempDir;
using ::vmkeep::test::WriteFile;

constexpr size_t kVersionAt = 4;
constexpr size_t kBackingOffsetAt = 8;
constexpr size_t kBackingSizeAt = 16;
constexpr size_t kSizeAt = 24;
constexpr size_t kCryptAt = 32;
constexpr size_t kL1EntriesAt = 36;
constexpr size_t kL1OffsetAt = 40;
constexpr size_t kSnapshotsAt = 60;
constexpr size_t kIncompatibleAt = 72;
constexpr size_t kLengthAt = 100;
constexpr uint64_t kBackingFormat = 0xE2792ACA;
constexpr uint64_t kDataFile = 0x44415441;

void Put(std::string& bytes, size_t at, size_t width, uint64_t value) {
  for (size_t i = 0; i < width; ++i) {
    bytes[at + width - 1 - i] = static_cast<char>(value >> (8 * i));
  }
}

// As QEMU's docs/interop/qcow2.txt lays it out.
std::string Header() {
  std::string bytes(kQcow2HeaderBytes, '\0');
  bytes.replace(0, 4, "QFI\xFB");
  Put(bytes, kVersionAt, 4, 3);
  Put(bytes, kSizeAt, 8, 20 << 20);
  Put(bytes, kLengthAt, 4, kQcow2HeaderBytes);
  return bytes;
}

// Behind the fields and the extensions before it.
void AddExtension(std::string& bytes, uint64_t type, const std::string& data) {
  const size_t at = bytes.size();
  bytes.resize(at + 8 + (data.size() + 7) / 8 * 8);
  Put(bytes, at, 4, type);
  Put(bytes, at + 4, 4, data.size());
  bytes.replace(at + 8, data.size(), data);
}

std::string HeaderWithBacking(const std::string& name, const std::string& format = "") {
  std::string bytes = Header();
  if (!format.empty()) AddExtension(bytes, kBackingFormat, format);
  Put(bytes, kBackingOffsetAt, 8, 512);
  Put(bytes, kBackingSizeAt, 4, name.size());
  bytes.resize(512);
  return bytes + name;
}

std::string HeaderWithDataFile(const std::string& name) {
  std::string bytes = Header();
  Put(bytes, kIncompatibleAt, 8, 4);
  if (!name.empty()) AddExtension(bytes, kDataFile, name);
  bytes.resize(512);
  return bytes;
}

TEST(Qcow2HeaderTest, Plain) {
  const absl::StatusOr<Qcow2Header> header = ParseQcow2Header(Header());
  ASSERT_THAT(header, IsOk());
  EXPECT_EQ(header->version, 3u);
  EXPECT_EQ(header->virtual_bytes, 20 << 20);
  EXPECT_EQ(header->backing_offset, 0u);
  EXPECT_FALSE(header->encrypted || header->corrupt || header->external_data);
  EXPECT_EQ(header->backing_format, "");
  EXPECT_EQ(header->data_file, "");
  EXPECT_EQ(header->snapshots, 0u);
}

TEST(Qcow2HeaderTest, Extensions) {
  std::string bytes = Header();
  AddExtension(bytes, 0x6803f857, std::string(99, 'x'));  // of features, say
  AddExtension(bytes, kDataFile, "/vm/data");
  AddExtension(bytes, kBackingFormat, "qcow2");
  AddExtension(bytes, 0, "");
  AddExtension(bytes, kBackingFormat, "behind the end");
  Put(bytes, kSnapshotsAt, 4, 3);
  const absl::StatusOr<Qcow2Header> header = ParseQcow2Header(bytes);
  ASSERT_THAT(header, IsOk());
  EXPECT_EQ(header->backing_format, "qcow2");
  EXPECT_EQ(header->data_file, "/vm/data");
  EXPECT_EQ(header->snapshots, 3u);
  for (size_t size = kQcow2HeaderBytes; size < bytes.size(); ++size) {
    (void)ParseQcow2Header(bytes.substr(0, size));
  }
  Put(bytes, kQcow2HeaderBytes + 4, 4, 0xFFFFFFFF);
  EXPECT_THAT(ParseQcow2Header(bytes), Not(IsOk())) << "longer than the file";
  Put(bytes, kLengthAt, 4, 0);
  EXPECT_THAT(ParseQcow2Header(bytes), Not(IsOk())) << "the extensions would be the fields";
}

TEST(Qcow2HeaderTest, BackingName) {
  const auto backing = [](const std::string& bytes) -> absl::StatusOr<std::string> {
    const absl::StatusOr<Qcow2Header> header = ParseQcow2Header(bytes);
    return header.ok() ? absl::StatusOr<std::string>(header->backing) : header.status();
  };
  EXPECT_THAT(backing(HeaderWithBacking("/vm/a.raw")), IsOkAndHolds(std::string("/vm/a.raw")));
  EXPECT_THAT(backing(Header()), IsOkAndHolds(std::string()));
  std::string bytes = HeaderWithBacking("/vm/a.raw");
  Put(bytes, kBackingSizeAt, 4, 0xFFFFFFFF);
  EXPECT_THAT(backing(bytes), Not(IsOk())) << "longer than QEMU allows";
  Put(bytes, kBackingSizeAt, 4, 1000);
  EXPECT_THAT(backing(bytes), Not(IsOk())) << "behind the file's end";
  Put(bytes, kBackingOffsetAt, 8, ~uint64_t{0});
  EXPECT_THAT(backing(bytes), Not(IsOk()));
}

TEST(ResolveImageNameTest, AsQemuDoes) {
  EXPECT_THAT(ResolveImageName("/vm/a", "/gold/b"), IsOkAndHolds(std::string("/gold/b")));
  EXPECT_THAT(ResolveImageName("/vm/a", "b"), IsOkAndHolds(std::string("/vm/b")));
  EXPECT_THAT(ResolveImageName("/vm/a", "../b"), IsOkAndHolds(std::string("/vm/../b")));
  EXPECT_THAT(ResolveImageName("/vm/a", "d/x:y"), IsOkAndHolds(std::string("/vm/d/x:y")));
  for (const char* name : {"", "nbd://host/x", "json:{\"driver\":\"qcow2\"}", "rbd:pool/image"}) {
    EXPECT_THAT(ResolveImageName("/vm/a", name), Not(IsOk())) << name;
  }
}

TEST(Qcow2HeaderTest, Flags) {
  std::string bytes = Header();
  Put(bytes, kIncompatibleAt, 8, 4);
  EXPECT_TRUE(ParseQcow2Header(bytes)->external_data);
  Put(bytes, kIncompatibleAt, 8, 2);
  EXPECT_TRUE(ParseQcow2Header(bytes)->corrupt);
  Put(bytes, kCryptAt, 4, 2);
  EXPECT_TRUE(ParseQcow2Header(bytes)->encrypted);
}

// Its extensions stand where version 3 has them: the length 5 would be "data file" and "dirty".
TEST(Qcow2HeaderTest, VersionTwoHasNoFeatureBits) {
  std::string bytes = Header().substr(0, kIncompatibleAt);
  Put(bytes, kVersionAt, 4, 2);
  AddExtension(bytes, kBackingFormat, "qcow2");
  bytes.resize(512);
  const absl::StatusOr<Qcow2Header> header = ParseQcow2Header(bytes);
  ASSERT_THAT(header, IsOk());
  EXPECT_FALSE(header->external_data);
  EXPECT_EQ(header->backing_format, "qcow2");
}

TEST(Qcow2HeaderTest, EverythingElseIsRefused) {
  std::string bytes = Header();
  EXPECT_THAT(ParseQcow2Header(""), Not(IsOk()));
  EXPECT_THAT(ParseQcow2Header(bytes.substr(0, kQcow2HeaderBytes - 1)), Not(IsOk()));
  EXPECT_THAT(ParseQcow2Header(std::string(kQcow2HeaderBytes, 'x')), Not(IsOk()));
  for (const uint64_t version : {uint64_t{0}, uint64_t{1}, uint64_t{4}, uint64_t{0xFFFFFFFF}}) {
    Put(bytes, kVersionAt, 4, version);
    EXPECT_THAT(ParseQcow2Header(bytes), Not(IsOk())) << version;
  }
  bytes = Header();
  Put(bytes, kSizeAt, 8, ~uint64_t{0});
  EXPECT_THAT(ParseQcow2Header(bytes), Not(IsOk()));
}

class InspectTest : public ::testing::Test {
 protected:
  Disk Make(const std::string& format, const std::string& content) {
    Disk disk;
    disk.target = "vda";
    disk.source = dir_.path("image");
    disk.format = format;
    EXPECT_TRUE(WriteFile(disk.source, content));
    return disk;
  }
  const TempDir dir_;
};

TEST_F(InspectTest, RawIsNeverProbed) {
  // A guest can write any header into its disk.
  Disk disk = Make("raw", HeaderWithBacking("/etc/passwd"));
  ASSERT_EQ(chmod(disk.source.c_str(), 0640), 0);
  ASSERT_THAT(InspectImage(disk), IsOk());
  EXPECT_EQ(disk.virtual_bytes, 512 + 11);
  EXPECT_EQ(disk.mode, 0640u);
  struct stat found = {};
  ASSERT_EQ(stat(disk.source.c_str(), &found), 0);
  EXPECT_EQ(disk.ino, found.st_ino);
  EXPECT_EQ(disk.dev, found.st_dev);
}

TEST(IdentityTest, OfAFileItsInodeOfADeviceItsNumber) {
  fs::FileInfo file;
  file.kind = fs::FileKind::kFile;
  file.device = 1;
  file.inode = 2;
  Disk disk;
  disk.SetIdentity(file);
  EXPECT_TRUE(disk.IsOf(file));
  file.inode = 3;
  EXPECT_FALSE(disk.IsOf(file));

  fs::FileInfo device;
  device.kind = fs::FileKind::kBlockDevice;
  device.device = 1;
  device.inode = 2;
  device.device_number = 1793;
  disk.SetIdentity(device);
  device.inode = 3;
  EXPECT_TRUE(disk.IsOf(device)) << "udev made its node anew";
  device.device_number = 1794;
  EXPECT_FALSE(disk.IsOf(device)) << "another device by that name";
}

TEST_F(InspectTest, Qcow2SaysItsSize) {
  Disk disk = Make("qcow2", Header());
  ASSERT_THAT(InspectImage(disk), IsOk());
  EXPECT_EQ(disk.virtual_bytes, 20 << 20);
}

TEST_F(InspectTest, ChainIsReadFromTheHeaders) {
  ASSERT_TRUE(WriteFile(dir_.path("golden"), "raw, and no header in it is looked at: QFI\xFB"));
  ASSERT_TRUE(WriteFile(dir_.path("middle"), HeaderWithBacking(dir_.path("golden"), "raw")));
  Disk disk = Make("qcow2", HeaderWithBacking("middle", "qcow2"));
  ASSERT_THAT(InspectImage(disk), IsOk());
  ASSERT_THAT(disk.backing, SizeIs(2));
  EXPECT_EQ(disk.backing[0].file, dir_.path("middle"));
  EXPECT_EQ(disk.backing[0].format, "qcow2");
  EXPECT_EQ(disk.backing[1].file, dir_.path("golden"));
  EXPECT_EQ(disk.backing[1].format, "raw");
  EXPECT_TRUE(disk.flat());
  EXPECT_EQ(disk.stored_format(), "raw");
  EXPECT_EQ(disk.virtual_bytes, 20 << 20);
  // A second look starts anew.
  ASSERT_THAT(InspectImage(disk), IsOk());
  EXPECT_THAT(disk.backing, SizeIs(2));
}

TEST_F(InspectTest, DataFile) {
  ASSERT_TRUE(WriteFile(dir_.path("data"), "data"));
  Disk disk = Make("qcow2", HeaderWithDataFile(dir_.path("data")));
  ASSERT_THAT(InspectImage(disk), IsOk());
  EXPECT_EQ(disk.data_file, dir_.path("data"));
  EXPECT_TRUE(disk.flat());
  for (const std::string& name : {std::string(), std::string("data"), dir_.path("absent")}) {
    disk = Make("qcow2", HeaderWithDataFile(name));
    EXPECT_THAT(InspectImage(disk),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("keeps its data in")))
        << name;
  }
}

struct BrokenChain {
  const char* name;
  std::string header;  // of the image on top
  const char* why;
};
class BrokenChainTest : public InspectTest, public ::testing::WithParamInterface<BrokenChain> {};

TEST_P(BrokenChainTest, IsRefusedWithARemedy) {
  ASSERT_TRUE(WriteFile(dir_.path("golden"), "not at all"));
  Disk disk = Make("qcow2", GetParam().header);
  EXPECT_THAT(InspectImage(disk),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(GetParam().why)));
}

std::string Flagged(size_t at, uint64_t value) {
  std::string bytes = Header();
  Put(bytes, at, at == kCryptAt ? 4 : 8, value);
  return bytes;
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, BrokenChainTest,
    ::testing::Values(
        BrokenChain{"NoFormat", HeaderWithBacking("golden"), "qemu-img rebase -u"},
        BrokenChain{"Vmdk", HeaderWithBacking("golden", "vmdk"), "'vmdk'"},
        BrokenChain{"Network", HeaderWithBacking("nbd://host/x", "raw"),
                    "something else than a file"},
        BrokenChain{"Absent", HeaderWithBacking("gone", "raw"), "cannot be opened"},
        BrokenChain{"NoQcow2", HeaderWithBacking("golden", "qcow2"), "declared as qcow2"},
        BrokenChain{"Endless", HeaderWithBacking("image", "qcow2"), "chain without an end"},
        BrokenChain{"Corrupt", Flagged(kIncompatibleAt, 2), "marked corrupt"},
        BrokenChain{"Encrypted", Flagged(kCryptAt, 2), "is encrypted"},
        BrokenChain{"Wrong", "not at all", "declared as qcow2"}),
    [](const auto& tested) { return tested.param.name; });

TEST_F(InspectTest, KindOfFileIsAsDeclared) {
  Disk disk = Make("raw", "data");
  disk.block_device = true;
  EXPECT_THAT(InspectImage(disk),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("use type='file'")));
}

TEST_F(InspectTest, WhatIsNoFileIsRefused) {
  Disk disk = Make("raw", "");
  disk.source = dir_.path("absent");
  EXPECT_THAT(InspectImage(disk),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("cannot be opened")));
  disk.source = dir_.path();
  EXPECT_THAT(InspectImage(disk), StatusIs(absl::StatusCode::kFailedPrecondition,
                                           HasSubstr("neither a file nor a block device")));
}

TEST_F(InspectTest, OverlayHoldsNothingUntilItsTableSaysSo) {
  std::string bytes = Header();
  Put(bytes, kL1EntriesAt, 4, 2);
  Put(bytes, kL1OffsetAt, 8, 512);
  bytes.resize(512 + 16);
  EXPECT_THAT(HoldsNothing(Make("qcow2", bytes).source), IsOkAndHolds(true));
  bytes[512 + 15] = 1;
  EXPECT_THAT(HoldsNothing(Make("qcow2", bytes).source), IsOkAndHolds(false));
  bytes.resize(512 + 15);
  EXPECT_THAT(HoldsNothing(Make("qcow2", bytes).source), Not(IsOk())) << "cut off";
  Put(bytes, kL1EntriesAt, 4, 0xFFFFFFFF);
  EXPECT_THAT(HoldsNothing(Make("qcow2", bytes).source), Not(IsOk())) << "more than QEMU takes";
}

TEST_F(InspectTest, OnlyTheRecordedBaseIsCommittedInto) {
  OverlayDisk disk{.vm_uuid = "",
                   .target = "vda",
                   .base = dir_.path("base"),
                   .base_format = "raw",
                   .overlay = dir_.path("overlay")};
  ASSERT_TRUE(WriteFile(disk.base, "data"));
  ASSERT_TRUE(WriteFile(disk.overlay, HeaderWithBacking(disk.base)));
  EXPECT_THAT(CommittableBase(disk), IsOk());
  disk.base_format = "qcow2";
  EXPECT_THAT(CommittableBase(disk), Not(IsOk())) << "the base is no qcow2";
  disk.base_format = "vmdk";
  EXPECT_THAT(CommittableBase(disk), Not(IsOk()));
  disk.base_format = "raw";
  ASSERT_TRUE(WriteFile(disk.overlay, HeaderWithBacking("/vm/another")));
  EXPECT_THAT(CommittableBase(disk),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another file")));
  ASSERT_TRUE(WriteFile(disk.overlay, Header()));
  EXPECT_THAT(CommittableBase(disk), Not(IsOk())) << "it stands on nothing";
}

TEST_F(InspectTest, FileNobodyLocksIsNotInUse) {
  EXPECT_THAT(InUse(Make("raw", "data").source), IsOkAndHolds(false));
  EXPECT_THAT(InUse(dir_.path("absent")), Not(IsOk()));
}

}  // namespace
}  // namespace vmkeep::executor::libvirt
