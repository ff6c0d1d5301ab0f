// What only Windows has. Under Wine, which is no Windows, a test that its shortcomings break says
// so and is skipped.
#include "common/fs/win32.h"

#include "common/error.h"
#include "common/fs/errors.h"
#include "common/fs/files.h"
#include "common/fs/output_file.h"
#include "common/win32/text.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/fs/folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <winternl.h>

#include <cerrno>
#include <string>

namespace vmkeep::fs {
namespace {

using std::filesystem::create_directories;
using std::filesystem::exists;
using test::HasReason;
using test::IsOk;
using test::IsOkAndHolds;
using test::StatusIs;
using ::testing::AllOf;

class Win32Test : public testing::Test {
 protected:
  Win32Test() : dir_(*OpenRoot(folder_.path())) {}
  Folder folder_;
  const Fd dir_;
};

TEST_F(Win32Test, NamesThatWin32ChangesAreNotTouched) {
  folder_.Put("a", "x");
  for (const char* name : {"a.", "a ", "a::$DATA", "NUL", "com1.txt", "b\\c", "\xed\xa0\x80"}) {
    EXPECT_THAT(Unlink(dir_, name), HasReason("PATH_LEAVES_FOLDER")) << name;
    EXPECT_THAT(OutputFile::Create(dir_, name, 0600), HasReason("PATH_LEAVES_FOLDER")) << name;
    EXPECT_THAT(OpenFile(dir_, name), HasReason("PATH_LEAVES_FOLDER")) << name;
    EXPECT_THAT(MakeDirs(dir_, name, 0700), HasReason("PATH_LEAVES_FOLDER")) << name;
  }
  EXPECT_EQ(folder_.Content("a"), "x");
}

TEST_F(Win32Test, ANameThatIsNoUtf16IsNeverTakenForAnother) {
  EXPECT_EQ(Narrow(L"\xd83d\xde00 e\x301"), "\xf0\x9f\x98\x80 e\xcc\x81");
  EXPECT_EQ(Narrow(L"half \xd83d"), "half \xed\xa0\xbd");
  EXPECT_THAT(win32::ToWide("half \xed\xa0\xbd"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(win32::ToWide("\xf0\x9f\x98\x80"), IsOkAndHolds(std::wstring(L"\xd83d\xde00")));
}

// Links need a right that not everybody has, and a system that makes them: Wine says that it did.
bool MakeLink(const std::filesystem::path& link, const std::filesystem::path& to, DWORD flags) {
  constexpr DWORD kUnprivileged = 0x2;
  if (CreateSymbolicLinkW(link.c_str(), to.c_str(), flags | kUnprivileged) == 0 &&
      CreateSymbolicLinkW(link.c_str(), to.c_str(), flags) == 0)
    return false;
  const DWORD attributes = GetFileAttributesW(link.c_str());
  return attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0;
}

TEST_F(Win32Test, NoReparsePointIsFollowed) {
  Folder outside;
  outside.Put("precious", "x");
  create_directories(folder_.at("tree"));
  if (!MakeLink(folder_.at("tree/link"), outside.at(""), SYMBOLIC_LINK_FLAG_DIRECTORY) ||
      !MakeLink(folder_.at("file"), outside.at("precious"), 0))
    GTEST_SKIP() << "no symbolic link can be made here: only a real host shows that it is refused";
  EXPECT_THAT(OpenDir(dir_, "tree/link"), HasReason("PATH_LEAVES_FOLDER"));
  EXPECT_THAT(OpenFile(dir_, "tree/link/precious"), HasReason("PATH_LEAVES_FOLDER"));
  EXPECT_THAT(ReadFile(dir_, "file", 10), HasReason("PATH_LEAVES_FOLDER"));
  EXPECT_THAT(MakeDirs(dir_, "tree/link/new", 0700), HasReason("PATH_LEAVES_FOLDER"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const FileInfo link, GetInfoBeneath(dir_, "file"));
  EXPECT_EQ(link.kind, FileKind::kLink);
  EXPECT_THAT(WriteFile(dir_, "file", "mine", 0600), IsOk());
  EXPECT_THAT(RemoveTree(dir_, "tree"), IsOkAndHolds(true));
  EXPECT_EQ(outside.Content("precious"), "x");
}

TEST_F(Win32Test, AReadOnlyFileIsRemovedAndReplaced) {
  folder_.Put("tree", "x");
  create_directories(folder_.at("folder"));
  folder_.Put("folder/note", "x");
  for (const char* name : {"tree", "folder/note"})
    ASSERT_NE(SetFileAttributesW(folder_.at(name).c_str(), FILE_ATTRIBUTE_READONLY), 0);
  EXPECT_THAT(Unlink(dir_, "tree"), IsOk());
  EXPECT_FALSE(exists(folder_.at("tree")));
  EXPECT_THAT(RemoveTree(dir_, "folder"), IsOkAndHolds(true));
  EXPECT_FALSE(exists(folder_.at("folder")));
}

// Whoever shares nothing keeps a file from going; it is told so that it can be tried again.
TEST_F(Win32Test, AFileThatIsHeldOpenIsAFolderThatIsNotEmptied) {
  create_directories(folder_.at("tree"));
  folder_.Put("tree/held", "x");
  {
    const Fd held(CreateFileW(folder_.at("tree/held").c_str(), GENERIC_READ, 0, nullptr,
                              OPEN_EXISTING, 0, nullptr));
    ASSERT_TRUE(held.valid());
    EXPECT_THAT(RemoveTree(dir_, "tree"),
                AllOf(StatusIs(absl::StatusCode::kUnavailable), HasReason("FOLDER_NOT_EMPTIED")));
    EXPECT_THAT(OpenFile(dir_, "tree/held"), StatusIs(absl::StatusCode::kUnavailable));
  }
  EXPECT_THAT(RemoveTree(dir_, "tree"), IsOkAndHolds(true));
}

TEST_F(Win32Test, AFileOpenedOnlyToReadIsNotFlushed) {
  folder_.Put("note", "x");
  VMKEEP_ASSERT_OK_AND_ASSIGN(const Fd reader, OpenFile(dir_, "note"));
  if (FlushFileBuffers(reader.get()) != 0)
    GTEST_SKIP() << "this system flushes for readers too (Wine does)";
  EXPECT_THAT(Sync(reader, "note"), HasReason("NOT_PERMITTED"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const Fd flusher, OpenFileToFlush(dir_, "note"));
  EXPECT_THAT(Sync(flusher, "note"), IsOk());
}

TEST_F(Win32Test, OnlyAMissingFlushOfAFolderIsNoError) {
  for (const DWORD code : {ERROR_INVALID_FUNCTION, ERROR_NOT_SUPPORTED})
    EXPECT_TRUE(win32::HasNothingToFlush(code)) << code;
  for (const DWORD code : {ERROR_ACCESS_DENIED, ERROR_INVALID_PARAMETER, ERROR_IO_DEVICE,
                           ERROR_DISK_FULL, ERROR_INVALID_HANDLE, ERROR_NETNAME_DELETED})
    EXPECT_FALSE(win32::HasNothingToFlush(code)) << code;
  EXPECT_THAT(Sync(Fd(), "nothing"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(Win32ErrorsTest, EveryCodeHasItsReason) {
  const auto reason = [](DWORD code) {
    return ErrorReason(win32::FromCode(code, "cannot open", "f"));
  };
  EXPECT_EQ(reason(ERROR_FILE_NOT_FOUND), "FILE_NOT_FOUND");
  EXPECT_EQ(reason(ERROR_BAD_NET_NAME), "FILE_NOT_FOUND");
  EXPECT_EQ(reason(ERROR_ALREADY_EXISTS), "FILE_EXISTS");
  EXPECT_EQ(reason(ERROR_DIR_NOT_EMPTY), "FILE_EXISTS");
  EXPECT_EQ(reason(ERROR_DISK_FULL), "NO_SPACE");
  EXPECT_EQ(reason(1295), "NO_SPACE") << "a quota";
  EXPECT_EQ(reason(ERROR_ACCESS_DENIED), "NOT_PERMITTED");
  EXPECT_EQ(reason(ERROR_WRITE_PROTECT), "NOT_PERMITTED");
  EXPECT_EQ(reason(ERROR_NOT_SAME_DEVICE), "PATH_LEAVES_FOLDER");
  EXPECT_EQ(reason(ERROR_BAD_NETPATH), "IO_ERROR") << "the server does not answer";
  EXPECT_EQ(reason(ERROR_SHARING_VIOLATION), "IO_ERROR");
  const absl::Status status = win32::FromCode(ERROR_ACCESS_DENIED, "cannot open", "f");
  EXPECT_EQ(ErrorDetails(status)["win32"], "5");
  EXPECT_EQ(error::Errno(status), EACCES);
  EXPECT_EQ(status.message(), "cannot open f: Permission denied (Windows error 5)");
}

}  // namespace
}  // namespace vmkeep::fs
