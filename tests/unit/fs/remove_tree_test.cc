#include "common/fs/files.h"
#include "tests/support/scoped_mount.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

namespace vmkeep::fs {
namespace {

using std::filesystem::create_directories;
using std::filesystem::create_directory_symlink;
using std::filesystem::create_symlink;
using std::filesystem::exists;
using test::HasReason;
using test::IsOk;
using test::IsOkAndHolds;
using test::TempDir;

class RemoveTreeTest : public testing::Test {
 protected:
  RemoveTreeTest() : dir_(*OpenRoot(temp_.path())) {}
  TempDir temp_;
  const Fd dir_;
};

TEST_F(RemoveTreeTest, RemoveIfEmptyTakesAnEmptyFolderOnly) {
  create_directories(temp_.path("empty"));
  create_directories(temp_.path("full/entry"));
  EXPECT_THAT(RemoveIfEmpty(dir_, "empty"), IsOk());
  EXPECT_THAT(RemoveIfEmpty(dir_, "full"), IsOk());
  EXPECT_THAT(RemoveIfEmpty(dir_, "absent"), IsOk());
  EXPECT_FALSE(exists(temp_.path("empty")));
  EXPECT_TRUE(exists(temp_.path("full/entry")));
}

TEST_F(RemoveTreeTest, RemovesThatTreeAndNothingElse) {
  create_directories(temp_.path("backup/sub/sub"));
  create_directories(temp_.path("backup2"));
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(test::WriteFile(temp_.path("backup/sub/") + std::to_string(i), "x"));
  }
  EXPECT_THAT(RemoveTree(dir_, "backup"), IsOkAndHolds(true));
  EXPECT_FALSE(exists(temp_.path("backup")));
  EXPECT_TRUE(exists(temp_.path("backup2")));
  EXPECT_THAT(RemoveTree(dir_, "backup"), IsOkAndHolds(false));
}

// Seen red: with the entry opened before unlink() is tried, by a plain openat(); the outside folder
// lost its file.
TEST_F(RemoveTreeTest, LinksAreRemovedNotFollowed) {
  TempDir outside;
  ASSERT_TRUE(test::WriteFile(outside.path("precious"), "x"));
  create_directories(temp_.path("backup/sub"));
  create_directory_symlink(outside.path(), temp_.path("backup/link"));
  create_directory_symlink("../..", temp_.path("backup/sub/up"));
  create_symlink(outside.path("precious"), temp_.path("backup/file"));
  EXPECT_THAT(RemoveTree(dir_, "backup"), IsOkAndHolds(true));
  EXPECT_FALSE(exists(temp_.path("backup")));
  EXPECT_TRUE(exists(outside.path("precious")));
}

TEST_F(RemoveTreeTest, ALinkAsTheTreeItselfIsRemovedAlone) {
  TempDir outside;
  ASSERT_TRUE(test::WriteFile(outside.path("precious"), "x"));
  create_directory_symlink(outside.path(), temp_.path("backup"));
  EXPECT_THAT(RemoveTree(dir_, "backup"), IsOkAndHolds(true));
  EXPECT_TRUE(exists(outside.path("precious")));
}

TEST_F(RemoveTreeTest, AFileSystemMountedInsideIsNotEmptied) {
  TempDir other;
  ASSERT_TRUE(test::WriteFile(other.path("precious"), "x"));
  create_directories(temp_.path("backup/mounted"));
  {
    const test::ScopedMount bound(other.path(), temp_.path("backup/mounted"), nullptr, MS_BIND,
                                  nullptr);
    if (!bound.mounted()) GTEST_SKIP() << "mount needs root";
    EXPECT_THAT(RemoveTree(dir_, "backup"), ::testing::Not(IsOk()));
  }
  EXPECT_TRUE(exists(other.path("precious")));
  EXPECT_THAT(RemoveTree(dir_, "backup"), IsOkAndHolds(true));
}

TEST_F(RemoveTreeTest, ATreeTooDeepToBeOursIsLeft) {
  std::string path = temp_.path("backup");
  for (int i = 0; i < 40; ++i) path += "/d";
  create_directories(path);
  EXPECT_THAT(RemoveTree(dir_, "backup"), HasReason("TREE_TOO_DEEP"));
}

TEST_F(RemoveTreeTest, OddEntriesGoToo) {
  create_directories(temp_.path("backup"));
  ASSERT_EQ(mkfifo(temp_.path("backup/pipe").c_str(), 0600), 0);
  ASSERT_TRUE(test::WriteFile(temp_.path("backup/a\nb *"), "x"));
  std::filesystem::permissions(temp_.path("backup/a\nb *"), std::filesystem::perms::none);
  EXPECT_THAT(RemoveTree(dir_, "backup"), IsOkAndHolds(true));
}

}  // namespace
}  // namespace vmkeep::fs
