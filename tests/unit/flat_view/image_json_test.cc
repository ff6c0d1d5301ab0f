#include "executor/flat_view/image_json.h"

#include "tests/support/status_matchers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace vmkeep::executor {
namespace {

using ::testing::ElementsAre;
using ::vmkeep::test::HasReason;
using ::vmkeep::test::IsOk;
using ::vmkeep::test::IsOkAndHolds;

bool NoDevice(const std::string&) { return false; }

Disk Qcow2(const std::string& source) {
  Disk disk;
  disk.target = "vda";
  disk.source = source;
  disk.format = "qcow2";
  return disk;
}

// Every word of it: what is not said here QEMU would look for in a header.
TEST(ImageJsonTest, EachLevelNamesItsDriversAndTheLastHasNothingBelow) {
  Disk disk = Qcow2("/top");
  disk.backing = {{"/mid", "qcow2", ""}, {"/dev/vg/gold", "raw", ""}};
  EXPECT_THAT(
      ImageJson(disk, [](const std::string& path) { return path.starts_with("/dev/"); }),
      IsOkAndHolds(std::string(
          R"(json:{"driver":"qcow2","file":{"driver":"file","filename":"/top","locking":"on"},)"
          R"("backing":{"driver":"qcow2","file":{"driver":"file","filename":"/mid","locking":"on"},)"
          R"("backing":{"driver":"raw","file":{"driver":"host_device","filename":"/dev/vg/gold",)"
          R"("locking":"on"}}}})")));
}

TEST(ImageJsonTest, DataFilesAreNamedAndAQcow2AtTheEndHasNoBase) {
  Disk disk = Qcow2("/top");
  disk.data_file = "/top.data";
  EXPECT_THAT(
      ImageJson(disk, NoDevice),
      IsOkAndHolds(std::string(
          R"(json:{"driver":"qcow2","file":{"driver":"file","filename":"/top","locking":"on"},)"
          R"("data-file":{"driver":"file","filename":"/top.data","locking":"on"},"backing":null})")));
  disk.backing = {{"/base", "qcow2", "/base.data"}};
  EXPECT_THAT(FilesOf(disk), ElementsAre("/top", "/top.data", "/base", "/base.data"));
}

TEST(ImageJsonTest, NoNameBreaksOut) {
  Disk disk = Qcow2("/a\",\"driver\":\"raw\\/\n\x01ü,=");
  disk.data_file = "/d";
  const absl::StatusOr<std::string> json = ImageJson(disk, NoDevice);
  ASSERT_THAT(json, IsOk());
  EXPECT_THAT(*json, ::testing::HasSubstr(
                         R"("filename":"/a\",\"driver\":\"raw\\/\u000a\u0001ü,=","locking")"));
}

TEST(ImageJsonTest, WhatCannotBeAChainIsRefused) {
  Disk disk = Qcow2("/top");
  disk.backing = {{"/mid", "vmdk", ""}};
  EXPECT_THAT(ImageJson(disk, NoDevice), HasReason("FLAT_VIEW_IMPOSSIBLE"));
  disk.backing = {{"/mid", "", ""}};
  EXPECT_THAT(ImageJson(disk, NoDevice), HasReason("FLAT_VIEW_IMPOSSIBLE"));
  disk.backing = {{"/mid", "raw", ""}, {"/base", "raw", ""}};
  EXPECT_THAT(ImageJson(disk, NoDevice), HasReason("FLAT_VIEW_IMPOSSIBLE"));
  disk.backing = {{"/mid", "raw", "/data"}};
  EXPECT_THAT(ImageJson(disk, NoDevice), HasReason("FLAT_VIEW_IMPOSSIBLE"));
  disk.backing = {{"nbd://host/export", "raw", ""}};
  EXPECT_THAT(ImageJson(disk, NoDevice), HasReason("FLAT_VIEW_IMPOSSIBLE"));
  disk.backing.assign(200, {"/mid", "qcow2", ""});
  EXPECT_THAT(ImageJson(disk, NoDevice), HasReason("FLAT_VIEW_IMPOSSIBLE"));
}

}  // namespace
}  // namespace vmkeep::executor
