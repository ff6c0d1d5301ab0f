#include "executor/task/host_space.h"

#include "common/error.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>

namespace vmkeep::executor {
namespace {

using ::testing::SizeIs;
using ::vmkeep::test::HasReason;
using ::vmkeep::test::IsOk;

constexpr int64_t kGiB = int64_t{1} << 30;

Disk DiskOn(uint64_t dev, const std::string& source, int64_t virtual_bytes) {
  Disk disk;
  disk.dev = dev;
  disk.source = source;
  disk.virtual_bytes = virtual_bytes;
  return disk;
}

TEST(HostSpaceTest, ReserveIsFivePercentBetweenOneAndSixteenGiB) {
  EXPECT_EQ(OverlayReserve(1, 0), kGiB);
  EXPECT_EQ(OverlayReserve(100 * kGiB, 0), 5 * kGiB);
  EXPECT_EQ(OverlayReserve(4096 * kGiB, 0), 16 * kGiB);
  EXPECT_EQ(OverlayReserve(4096 * kGiB, 7), 7);
}

TEST(HostSpaceTest, DisksOfOneFileSystemShareItsRoom) {
  const auto rooms = RoomsOf({DiskOn(1, "/a/x.raw", 100 * kGiB), DiskOn(1, "/a/y.raw", 100 * kGiB),
                              DiskOn(2, "/b/z.raw", kGiB)},
                             0, "");
  ASSERT_THAT(rooms, SizeIs(2));
  EXPECT_EQ(rooms[0].folder, "/a");
  EXPECT_EQ(rooms[0].reserve_bytes, 10 * kGiB);
  EXPECT_EQ(rooms[1].reserve_bytes, kGiB);
}

// The device's own st_dev is that of /dev, where no overlay lies.
TEST(HostSpaceTest, OverlaysOfBlockDevicesLieInTheirFolder) {
  const test::TempDir folder;
  struct stat found = {};
  ASSERT_EQ(stat(folder.path().c_str(), &found), 0);
  Disk device = DiskOn(1, "/dev/vg/data", 100 * kGiB);
  device.target = "vdb";
  device.block_device = true;
  const auto rooms = RoomsOf({DiskOn(1, "/a/x.raw", kGiB), device}, 0, folder.path());
  ASSERT_THAT(rooms, SizeIs(2));
  for (const OverlayRoom& room : rooms) {
    if (room.folder == "/a") continue;
    EXPECT_EQ(room.folder, folder.path());
    EXPECT_EQ(room.dev, found.st_dev);
    EXPECT_EQ(room.reserve_bytes, 5 * kGiB);
  }
  EXPECT_EQ(OverlayFor(device, "uuid", "t", "/o"), "/o/uuid-vdb.vmkeep-t.qcow2");
  EXPECT_EQ(OverlayFor(DiskOn(1, "/a/x.raw", 1), "uuid", "t", "/o"), "/a/x.raw.vmkeep-t.qcow2");
}

TEST(HostSpaceTest, TheFolderThatIsShortIsNamed) {
  const auto rooms = RoomsOf({DiskOn(1, "/a/x.raw", kGiB), DiskOn(2, "/b/z.raw", kGiB)}, 1000, "");
  const FreeSpace free = [](const std::string& folder) { return folder == "/a" ? 1000 : 999; };
  const absl::Status status = CheckRooms(rooms, 1.0, free);
  EXPECT_THAT(status, HasReason("OVERLAY_SPACE"));
  EXPECT_EQ(ErrorDetails(status)["folder"], "/b");
  EXPECT_EQ(ErrorDetails(status)["free_bytes"], "999");
  EXPECT_THAT(CheckRooms(rooms, 0.5, free), IsOk()) << "the watermark is half of it";
}

TEST(HostSpaceTest, HostsFreeSpaceIsRead) {
  const auto free = FreeBytesOfHost("/tmp");
  ASSERT_THAT(free, IsOk());
  EXPECT_GT(*free, 0);
  EXPECT_FALSE(FreeBytesOfHost("/no/such/folder").ok());
}

}  // namespace
}  // namespace vmkeep::executor
