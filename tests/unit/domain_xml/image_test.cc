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
constexpr size_t kIncompatibleAt = 72;

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
  return bytes;
}

std::string HeaderWithBacking(const std::string& name) {
  std::string bytes = Header();
  Put(bytes, kBackingOffsetAt, 8, 512);
  Put(bytes, kBackingSizeAt, 4, name.size());
  bytes.resize(512);
  return bytes + name;
}

TEST(Qcow2HeaderTest, Plain) {
  const absl::StatusOr<Qcow2Header> header = ParseQcow2Header(Header());
  ASSERT_THAT(header, IsOk());
  EXPECT_EQ(header->version, 3u);
  EXPECT_EQ(header->virtual_bytes, 20 << 20);
  EXPECT_EQ(header->backing_offset, 0u);
  EXPECT_FALSE(header->encrypted || header->corrupt || header->external_data);
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

TEST(Qcow2HeaderTest, VersionTwoHasNoFeatureBits) {
  std::string bytes = Header();
  Put(bytes, kVersionAt, 4, 2);
  Put(bytes, kIncompatibleAt, 8, ~uint64_t{0});
  const absl::StatusOr<Qcow2Header> header = ParseQcow2Header(bytes);
  ASSERT_THAT(header, IsOk());
  EXPECT_FALSE(header->external_data);
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

TEST_F(InspectTest, Qcow2SaysItsSize) {
  Disk disk = Make("qcow2", Header());
  ASSERT_THAT(InspectImage(disk), IsOk());
  EXPECT_EQ(disk.virtual_bytes, 20 << 20);
}

TEST_F(InspectTest, ImageThatDoesNotStandForItselfIsRefused) {
  Disk chain = Make("qcow2", HeaderWithBacking("/golden"));
  EXPECT_THAT(InspectImage(chain),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("backing file")));
  std::string bytes = Header();
  Put(bytes, kIncompatibleAt, 8, 4);
  Disk data_file = Make("qcow2", bytes);
  EXPECT_THAT(InspectImage(data_file),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("second file")));
  Put(bytes, kIncompatibleAt, 8, 2);
  Disk corrupt = Make("qcow2", bytes);
  EXPECT_THAT(InspectImage(corrupt),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("corrupt")));
  Disk wrong = Make("qcow2", "not at all");
  EXPECT_THAT(InspectImage(wrong),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("declared as qcow2")));
}

TEST_F(InspectTest, WhatIsNoFileIsRefused) {
  Disk disk = Make("raw", "");
  disk.source = dir_.path("absent");
  EXPECT_THAT(InspectImage(disk),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("cannot be opened")));
  disk.source = dir_.path();
  EXPECT_THAT(InspectImage(disk),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no regular file")));
}

TEST_F(InspectTest, BackingName) {
  EXPECT_THAT(BackingName(Make("qcow2", HeaderWithBacking("/vm/a.raw")).source),
              IsOkAndHolds(std::string("/vm/a.raw")));
  EXPECT_THAT(BackingName(Make("qcow2", Header()).source), IsOkAndHolds(std::string()));
  EXPECT_THAT(BackingName(Make("qcow2", "junk").source), Not(IsOk()));
  std::string bytes = HeaderWithBacking("/vm/a.raw");
  Put(bytes, kBackingSizeAt, 4, 0xFFFFFFFF);
  EXPECT_THAT(BackingName(Make("qcow2", bytes).source), Not(IsOk())) << "longer than QEMU allows";
  Put(bytes, kBackingSizeAt, 4, 1000);
  EXPECT_THAT(BackingName(Make("qcow2", bytes).source), Not(IsOk())) << "behind the file's end";
  Put(bytes, kBackingOffsetAt, 8, ~uint64_t{0});
  EXPECT_THAT(BackingName(Make("qcow2", bytes).source), Not(IsOk()));
}

TEST_F(InspectTest, OnlyTheRecordedBaseIsCommittedInto) {
  OverlayDisk disk{.vm_uuid = "",
                   .target = "vda",
                   .base = dir_.path("base"),
                   .base_format = "raw",
                   .overlay = dir_.path("overlay")};
  ASSERT_TRUE(WriteFile(disk.base, "data"));
  ASSERT_TRUE(WriteFile(disk.overlay, HeaderWithBacking(disk.base)));
  EXPECT_THAT(CheckCommittable(disk), IsOk());
  disk.base_format = "qcow2";
  EXPECT_THAT(CheckCommittable(disk), Not(IsOk())) << "the base is no qcow2";
  disk.base_format = "vmdk";
  EXPECT_THAT(CheckCommittable(disk), Not(IsOk()));
  disk.base_format = "raw";
  ASSERT_TRUE(WriteFile(disk.overlay, HeaderWithBacking("/vm/another")));
  EXPECT_THAT(CheckCommittable(disk),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another file")));
  ASSERT_TRUE(WriteFile(disk.overlay, Header()));
  EXPECT_THAT(CheckCommittable(disk), Not(IsOk())) << "it stands on nothing";
}

TEST_F(InspectTest, FileNobodyLocksIsNotInUse) {
  EXPECT_THAT(InUse(Make("raw", "data").source), IsOkAndHolds(false));
  EXPECT_THAT(InUse(dir_.path("absent")), Not(IsOk()));
}

}  // namespace
}  // namespace vmkeep::executor::libvirt
