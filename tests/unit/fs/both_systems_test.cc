// What common/fs promises on either system, asked of the one that runs this.
#include "common/fs/errors.h"
#include "common/fs/files.h"
#include "common/fs/output_file.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/fs/folder.h"

#include "absl/time/clock.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace vmkeep::fs {
namespace {

using std::filesystem::create_directories;
using std::filesystem::exists;
using test::HasReason;
using test::IsOk;
using test::IsOkAndHolds;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

class BothSystemsTest : public testing::Test {
 protected:
  BothSystemsTest() : dir_(*OpenRoot(folder_.path())) {}
  std::vector<std::string> Names(absl::string_view below) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.at(below)))
      names.push_back(Text(entry.path().filename()));
    return names;
  }
  Folder folder_;
  const Fd dir_;
};

// Seen red, on Windows: without the check of plain names in OpenNamed().
TEST_F(BothSystemsTest, NoPathLeavesTheFolder) {
  create_directories(folder_.at("inside"));
  for (const char* path : {"..", "../x", "/etc", "inside/../..", "inside/../../x"}) {
    EXPECT_THAT(OpenDir(dir_, path), HasReason("PATH_LEAVES_FOLDER")) << path;
    EXPECT_THAT(OpenFile(dir_, path), HasReason("PATH_LEAVES_FOLDER")) << path;
  }
  EXPECT_THAT(MakeDirs(dir_, "inside/../../new", 0700), HasReason("PATH_LEAVES_FOLDER"));
  for (const char* name : {"", ".", "..", "a/b", "/a", "../a"}) {
    EXPECT_THAT(Unlink(dir_, name), HasReason("PATH_LEAVES_FOLDER")) << name;
    EXPECT_THAT(Rename(dir_, name, dir_, "x"), HasReason("PATH_LEAVES_FOLDER")) << name;
    EXPECT_THAT(Rename(dir_, "x", dir_, name), HasReason("PATH_LEAVES_FOLDER")) << name;
    EXPECT_THAT(Link(dir_, "x", name), HasReason("PATH_LEAVES_FOLDER")) << name;
    EXPECT_THAT(RemoveTree(dir_, name), HasReason("PATH_LEAVES_FOLDER")) << name;
    EXPECT_THAT(Exists(dir_, name), HasReason("PATH_LEAVES_FOLDER")) << name;
    EXPECT_THAT(OutputFile::Create(dir_, name, 0600), testing::Not(IsOk())) << name;
  }
}

TEST_F(BothSystemsTest, MakeDirsMakesWhatIsMissingAndOpensIt) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const Fd made, MakeDirs(dir_, "a/b/c", 0700));
  ASSERT_THAT(WriteFile(made, "note", "x", 0600), IsOk());
  ASSERT_THAT(MakeDirs(dir_, "a/b/d", 0700), IsOk());
  EXPECT_THAT(Names("a/b"), UnorderedElementsAre("c", "d"));
  EXPECT_EQ(folder_.Content("a/b/c/note"), "x");
  folder_.Put("a/file", "");
  EXPECT_THAT(MakeDirs(dir_, "a/file/x", 0700), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(MakeDir(dir_, "a", 0700), IsOkAndHolds(false));
  EXPECT_THAT(OpenDir(dir_, "absent"), HasReason("FILE_NOT_FOUND"));
}

TEST_F(BothSystemsTest, WriteFileReplacesInOneStep) {
  ASSERT_THAT(WriteFile(dir_, "note", "first", 0600), IsOk());
  ASSERT_THAT(WriteFile(dir_, "note", "second", 0600), IsOk());
  EXPECT_THAT(ReadFile(dir_, "note", 100), IsOkAndHolds(std::string("second")));
  EXPECT_THAT(Names(""), ElementsAre("note"));
}

TEST_F(BothSystemsTest, ReadFileIsBoundedAndReadsPlainFilesOnly) {
  folder_.Put("long", std::string(40'000, 'x'));
  EXPECT_THAT(ReadFile(dir_, "long", 39'999), HasReason("FILE_TOO_LONG"));
  EXPECT_THAT(ReadFile(dir_, "long", 40'000), IsOkAndHolds(std::string(40'000, 'x')));
  create_directories(folder_.at("folder"));
  EXPECT_THAT(ReadFile(dir_, "folder", 10), HasReason("NOT_A_PLAIN_FILE"));
  EXPECT_THAT(ReadFile(dir_, "absent", 10),
              AllOf(StatusIs(absl::StatusCode::kNotFound), HasReason("FILE_NOT_FOUND")));
}

TEST_F(BothSystemsTest, BytesAreWrittenAndReadAtOffsetsByManyThreads) {
  constexpr int kThreads = 4;
  constexpr int64_t kBytes = 64 << 10;
  VMKEEP_ASSERT_OK_AND_ASSIGN(OutputFile file, OutputFile::Create(dir_, "out", 0600));
  ASSERT_THAT(file.SetLength(kThreads * kBytes), IsOk());
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&file, i] {
        EXPECT_THAT(file.WriteAt(i * kBytes, std::string(kBytes, static_cast<char>('a' + i))),
                    IsOk());
      });
    }
  }
  ASSERT_THAT(file.Finish(), IsOk());
  EXPECT_THAT(file.Finish(), IsOk());
  VMKEEP_ASSERT_OK_AND_ASSIGN(const Fd again, OpenFileToFlush(dir_, "out"));
  EXPECT_THAT(Sync(again, "out"), IsOk());
  std::array<std::byte, 4> some{};
  EXPECT_THAT(ReadAt(again, 2 * kBytes - 2, some, "out"), IsOkAndHolds(size_t{4}));
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(some.data()), 4), "bbcc");
  EXPECT_THAT(ReadAt(again, kThreads * kBytes - 3, some, "out"), IsOkAndHolds(size_t{3}));
  EXPECT_THAT(ReadAt(again, kThreads * kBytes, some, "out"), IsOkAndHolds(size_t{0}));
}

TEST_F(BothSystemsTest, InfoSaysWhichFileItIs) {
  folder_.Put("one", "12345");
  folder_.Put("two", "12345");
  create_directories(folder_.at("folder"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const FileInfo one, GetInfoBeneath(dir_, "one"));
  EXPECT_EQ(one.kind, FileKind::kFile);
  EXPECT_EQ(one.bytes, 5);
  EXPECT_EQ(one.names, 1);
  EXPECT_LT(absl::AbsDuration(absl::Now() - one.modified), absl::Minutes(5));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const Fd opened, OpenFile(dir_, "one"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const FileInfo same, GetInfo(opened, "one"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const FileInfo two, GetInfoBeneath(dir_, "two"));
  EXPECT_EQ(one.inode, same.inode);
  EXPECT_EQ(one.device, same.device);
  EXPECT_NE(one.inode, two.inode);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const FileInfo by_path, GetHostInfo(Join(folder_.path(), "one")));
  EXPECT_EQ(by_path.inode, one.inode);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const FileInfo folder, GetInfoBeneath(dir_, "folder"));
  EXPECT_EQ(folder.kind, FileKind::kFolder);
  EXPECT_THAT(GetInfoBeneath(dir_, "absent"), HasReason("FILE_NOT_FOUND"));
}

TEST_F(BothSystemsTest, ASecondNameIsTakenOnce) {
  folder_.Put("one", "x");
  folder_.Put("taken", "y");
  ASSERT_THAT(Link(dir_, "one", "other"), IsOk());
  EXPECT_EQ(folder_.Content("other"), "x");
  EXPECT_THAT(Link(dir_, "one", "taken"), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(folder_.Content("taken"), "y");
}

TEST_F(BothSystemsTest, ARenameTakesFilesAndFoldersAlsoOpenOnes) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const Fd from, MakeDirs(dir_, "from/tree/sub", 0700));
  ASSERT_THAT(WriteFile(from, "note", "x", 0600), IsOk());
  VMKEEP_ASSERT_OK_AND_ASSIGN(const Fd parent, OpenDir(dir_, "from"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const Fd to, MakeDirs(dir_, "to", 0700));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const Fd tree, OpenDir(parent, "tree"));
  ASSERT_THAT(Rename(parent, "tree", to, "published"), IsOk());
  EXPECT_THAT(Sync(to, "to"), IsOk());
  EXPECT_EQ(folder_.Content("to/published/sub/note"), "x");
  EXPECT_FALSE(exists(folder_.at("from/tree")));
  EXPECT_THAT(Rename(parent, "tree", to, "published"), HasReason("FILE_NOT_FOUND"));
  // A folder with something in it stays.
  ASSERT_THAT(MakeDirs(parent, "tree", 0700), IsOk());
  EXPECT_THAT(Rename(parent, "tree", to, "published"), testing::Not(IsOk()));
  EXPECT_EQ(folder_.Content("to/published/sub/note"), "x");
}

TEST_F(BothSystemsTest, RemoveTreeRemovesThatTreeAndNothingElse) {
  create_directories(folder_.at("backup/sub/sub"));
  create_directories(folder_.at("backup2"));
  for (int i = 0; i < 500; ++i) folder_.Put("backup/sub/" + std::to_string(i), "x");
  EXPECT_THAT(RemoveTree(dir_, "backup"), IsOkAndHolds(true));
  EXPECT_THAT(Names(""), ElementsAre("backup2"));
  EXPECT_THAT(RemoveTree(dir_, "backup"), IsOkAndHolds(false));
}

TEST_F(BothSystemsTest, RemoveIfEmptyTakesAnEmptyFolderOnly) {
  create_directories(folder_.at("empty"));
  create_directories(folder_.at("full/entry"));
  EXPECT_THAT(RemoveIfEmpty(dir_, "empty"), IsOk());
  EXPECT_THAT(RemoveIfEmpty(dir_, "full"), IsOk());
  EXPECT_THAT(RemoveIfEmpty(dir_, "absent"), IsOk());
  EXPECT_THAT(Names(""), ElementsAre("full"));
  EXPECT_THAT(Unlink(dir_, "absent"), IsOk());
}

TEST_F(BothSystemsTest, NamesAreUtf8AndMayHoldAnythingThatAShellKnows) {
  const std::string name = "it's; $(calc) & %PATH% \xc3\xa9 \xf0\x9f\x98\x80.vhdx";
  VMKEEP_ASSERT_OK_AND_ASSIGN(const Fd folder, MakeDirs(dir_, name, 0700));
  ASSERT_THAT(WriteFile(folder, name, "x", 0600), IsOk());
  EXPECT_THAT(List(dir_), IsOkAndHolds(ElementsAre(name)));
  EXPECT_THAT(List(folder), IsOkAndHolds(ElementsAre(name)));
  EXPECT_TRUE(exists(folder_.at(name) / Path(name)));
  EXPECT_THAT(RemoveTree(dir_, name), IsOkAndHolds(true));
}

TEST_F(BothSystemsTest, ManyNamesAreAllListed) {
  for (int i = 0; i < 3000; ++i) folder_.Put(std::string(80, 'n') + std::to_string(i), "");
  VMKEEP_ASSERT_OK_AND_ASSIGN(std::vector<std::string> names, List(dir_));
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()) - names.begin(), 3000);
  EXPECT_THAT(List(dir_), IsOkAndHolds(testing::SizeIs(3000)));
}

TEST_F(BothSystemsTest, SpaceIsWhatTheSystemSays) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const Space space, GetSpace(dir_));
  EXPECT_GT(space.total_bytes, 0);
  EXPECT_GE(space.total_bytes, space.free_bytes);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const Space by_path, GetHostSpace(folder_.path()));
  EXPECT_EQ(by_path.total_bytes, space.total_bytes);
  EXPECT_THAT(GetHostSpace(Join(folder_.path(), "absent/x")), testing::Not(IsOk()));
  EXPECT_THAT(IsMountPoint(dir_), IsOkAndHolds(false));
}

TEST_F(BothSystemsTest, PathsOfTheSystemAreAbsolute) {
  EXPECT_TRUE(IsAbsolute(folder_.path())) << folder_.path();
  EXPECT_FALSE(IsAbsolute("relative/x"));
  folder_.Put("x", "1");
  EXPECT_THAT(GetHostInfo(Join(folder_.path(), "x")), IsOk());
  EXPECT_THAT(OpenRoot(Join(folder_.path(), "x")), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace vmkeep::fs
