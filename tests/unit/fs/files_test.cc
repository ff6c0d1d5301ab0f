#include "common/fs/files.h"

#include "common/fs/errors.h"
#include "tests/support/fail_syscall.h"
#include "tests/support/scoped_mount.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace vmkeep::fs {
namespace {

using test::HasReason;
using test::IsOk;
using test::IsOkAndHolds;
using test::StatusIs;
using test::TempDir;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

std::vector<std::string> Names(const std::string& path) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path))
    names.push_back(entry.path().filename());
  return names;
}

mode_t ModeOf(const std::string& path) {
  struct stat found{};
  return lstat(path.c_str(), &found) == 0 ? found.st_mode & 07777 : 0;
}

class FilesTest : public testing::Test {
 protected:
  FilesTest() : dir_(*OpenRoot(temp_.path())) {}
  TempDir temp_;
  const Fd dir_;
};

TEST_F(FilesTest, NoPathLeavesTheFolder) {
  TempDir outside;
  ASSERT_TRUE(test::WriteFile(outside.path("secret"), "x"));
  std::filesystem::create_symlink(outside.path(), temp_.path("link"));
  std::filesystem::create_symlink(outside.path("secret"), temp_.path("file"));
  std::filesystem::create_directory(temp_.path("inside"));
  std::filesystem::create_symlink("inside", temp_.path("harmless"));
  for (const char* path :
       {"..", "../x", "/etc/passwd", "link/secret", "link", "file", "harmless", "inside/../.."}) {
    EXPECT_THAT(
        OpenBeneath(dir_, path, O_RDONLY),
        AllOf(StatusIs(absl::StatusCode::kFailedPrecondition), HasReason("PATH_LEAVES_FOLDER")))
        << path;
  }
  EXPECT_THAT(ReadFile(dir_, "file", 100), HasReason("PATH_LEAVES_FOLDER"));
  EXPECT_THAT(MakeDirs(dir_, "link/new", 0700), HasReason("PATH_LEAVES_FOLDER"));
  EXPECT_THAT(MakeDirs(dir_, "inside/../../new", 0700), HasReason("PATH_LEAVES_FOLDER"));
  EXPECT_THAT(Names(outside.path()), ElementsAre("secret"));
}

TEST_F(FilesTest, OnlyPlainNamesWhereTheKernelCannotGuard) {
  for (const char* name : {"", ".", "..", "a/b", "/a", "../a"}) {
    EXPECT_THAT(Unlink(dir_, name), HasReason("PATH_LEAVES_FOLDER")) << name;
    EXPECT_THAT(Rename(dir_, name, dir_, "x"), HasReason("PATH_LEAVES_FOLDER")) << name;
    EXPECT_THAT(Rename(dir_, "x", dir_, name), HasReason("PATH_LEAVES_FOLDER")) << name;
    EXPECT_THAT(RemoveTree(dir_, name), HasReason("PATH_LEAVES_FOLDER")) << name;
    EXPECT_THAT(Exists(dir_, name), HasReason("PATH_LEAVES_FOLDER")) << name;
  }
}

TEST_F(FilesTest, MakeDirsMakesWhatIsMissing) {
  ASSERT_THAT(MakeDirs(dir_, "a/b/c", 0700), IsOk());
  ASSERT_THAT(MakeDirs(dir_, "a/b/d", 0700), IsOk());
  EXPECT_EQ(ModeOf(temp_.path("a/b")), 0700u);
  EXPECT_THAT(Names(temp_.path("a/b")), UnorderedElementsAre("c", "d"));
  ASSERT_TRUE(test::WriteFile(temp_.path("a/file"), ""));
  EXPECT_THAT(MakeDirs(dir_, "a/file/x", 0700), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(FilesTest, WriteFileReplacesInOneStep) {
  ASSERT_THAT(WriteFile(dir_, "note", "first", 0400), IsOk());
  ASSERT_THAT(WriteFile(dir_, "note", "second", 0400), IsOk());
  EXPECT_THAT(ReadFile(dir_, "note", 100), IsOkAndHolds(std::string("second")));
  EXPECT_EQ(ModeOf(temp_.path("note")), 0400u);
  EXPECT_THAT(Names(temp_.path()), ElementsAre("note"));
}

TEST_F(FilesTest, WriteFileDoesNotWriteThroughALinkThatWaitsForIt) {
  TempDir outside;
  ASSERT_TRUE(test::WriteFile(outside.path("victim"), "precious"));
  std::filesystem::create_symlink(outside.path("victim"), temp_.path("note.new"));
  std::filesystem::create_symlink(outside.path("victim"), temp_.path("note"));
  ASSERT_THAT(WriteFile(dir_, "note", "mine", 0600), IsOk());
  EXPECT_EQ(test::ReadFile(outside.path("victim")), "precious");
  EXPECT_EQ(test::ReadFile(temp_.path("note")), "mine");
}

// Seen red: with the Rename() before the Finish().
TEST_F(FilesTest, AFailedFlushKeepsTheOldFile) {
  ASSERT_THAT(WriteFile(dir_, "note", "old", 0600), IsOk());
  EXPECT_EXIT(
      {
        test::TrapSyscall(SYS_fsync, EIO);
        const absl::Status status = WriteFile(dir_, "note", "new", 0600);
        std::exit(error::Errno(status) == EIO && test::TrappedCalls() == 1 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
  EXPECT_EQ(test::ReadFile(temp_.path("note")), "old");
  EXPECT_THAT(Names(temp_.path()), ElementsAre("note"));
}

TEST_F(FilesTest, ReadFileIsBoundedAndReadsPlainFilesOnly) {
  ASSERT_TRUE(test::WriteFile(temp_.path("long"), std::string(1000, 'x')));
  EXPECT_THAT(ReadFile(dir_, "long", 999), HasReason("FILE_TOO_LONG"));
  EXPECT_THAT(ReadFile(dir_, "long", 1000), IsOk());
  ASSERT_EQ(mkfifo(temp_.path("pipe").c_str(), 0600), 0);
  EXPECT_THAT(ReadFile(dir_, "pipe", 10), HasReason("NOT_A_PLAIN_FILE"));
  EXPECT_THAT(ReadFile(dir_, "absent", 10),
              AllOf(StatusIs(absl::StatusCode::kNotFound), HasReason("FILE_NOT_FOUND")));
}

TEST_F(FilesTest, AMountPointIsToldFromAFolder) {
  EXPECT_THAT(IsMountPoint(dir_), IsOkAndHolds(false));
  EXPECT_THAT(IsMountPoint(*OpenRoot("/proc")), IsOkAndHolds(true));
  EXPECT_THAT(IsMountPoint(*OpenRoot("/")), IsOkAndHolds(true));
}

TEST_F(FilesTest, ABindMountOfTheSameFileSystemIsAMountPoint) {
  std::filesystem::create_directories(temp_.path("from"));
  std::filesystem::create_directories(temp_.path("to"));
  const test::ScopedMount bound(temp_.path("from"), temp_.path("to"), nullptr, MS_BIND, nullptr);
  if (!bound.mounted()) GTEST_SKIP() << "mount needs root";
  EXPECT_THAT(IsMountPoint(*OpenRoot(temp_.path("to"))), IsOkAndHolds(true));
}

TEST_F(FilesTest, SpaceIsWhatTheKernelSays) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const Space space, GetSpace(dir_));
  EXPECT_GT(space.total_bytes, 0);
  EXPECT_GE(space.total_bytes, space.free_bytes);
}

TEST(ErrorsTest, EveryErrnoHasItsCode) {
  EXPECT_THAT(error::FromErrno(EDQUOT, "cannot write", "f"),
              AllOf(StatusIs(absl::StatusCode::kResourceExhausted), HasReason("NO_SPACE")));
  EXPECT_THAT(error::FromErrno(EROFS, "cannot write", "f"),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(error::FromErrno(ESTALE, "cannot write", "f"),
              AllOf(StatusIs(absl::StatusCode::kUnavailable), HasReason("IO_ERROR")));
  EXPECT_EQ(error::Errno(error::FromErrno(ESTALE, "cannot write", "f")), ESTALE);
  EXPECT_EQ(error::Errno(absl::OkStatus()), 0);
}

}  // namespace
}  // namespace vmkeep::fs
