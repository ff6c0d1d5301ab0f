#include "common/fs/output_file.h"

#include "common/fs/errors.h"
#include "common/fs/files.h"
#include "tests/support/fail_syscall.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace vmkeep::fs {
namespace {

using test::IsOk;
using test::StatusIs;
using test::TempDir;

class OutputFileTest : public testing::Test {
 protected:
  OutputFileTest() : dir_(*OpenRoot(temp_.path())) {}
  TempDir temp_;
  const Fd dir_;
};

TEST_F(OutputFileTest, WritesAtOffsetsAndKeepsItsLength) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(OutputFile file, OutputFile::Create(dir_, "out", 0400));
  ASSERT_THAT(file.SetLength(10), IsOk());
  ASSERT_THAT(file.WriteAt(6, "tail"), IsOk());
  ASSERT_THAT(file.WriteAt(0, "h"), IsOk());
  ASSERT_THAT(file.Finish(), IsOk());
  EXPECT_EQ(test::ReadFile(temp_.path("out")), std::string("h\0\0\0\0\0tail", 10));
}

TEST_F(OutputFileTest, AnOldFileIsReplacedNotWritten) {
  ASSERT_TRUE(test::WriteFile(temp_.path("out"), "old"));
  std::filesystem::create_hard_link(temp_.path("out"), temp_.path("other"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(OutputFile file, OutputFile::Create(dir_, "out", 0600));
  ASSERT_THAT(file.WriteAt(0, "new"), IsOk());
  ASSERT_THAT(file.Finish(), IsOk());
  EXPECT_EQ(test::ReadFile(temp_.path("other")), "old");
}

TEST_F(OutputFileTest, FinishAgainAfterSuccessIsTheSameAnswer) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(OutputFile file, OutputFile::Create(dir_, "out", 0600));
  EXPECT_THAT(file.Finish(), IsOk());
  EXPECT_THAT(file.Finish(), IsOk());
}

// Seen red: with Finish() calling Sync() each time, the kernel counts two.
TEST_F(OutputFileTest, AFailedFlushIsNeverTriedAgain) {
  EXPECT_EXIT(
      {
        OutputFile file = *OutputFile::Create(dir_, "out", 0600);
        test::TrapSyscall(SYS_fsync, EDQUOT);
        const bool first = error::Errno(file.Finish()) == EDQUOT;
        const bool second = error::Errno(file.Finish()) == EDQUOT;
        std::exit(first && second && test::TrappedCalls() == 1 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

// NFS: the server's answer to the last writes may come with close() only.
TEST_F(OutputFileTest, AFailedCloseIsAnError) {
  EXPECT_EXIT(
      {
        OutputFile file = *OutputFile::Create(dir_, "out", 0600);
        test::TrapSyscall(SYS_close, ENOSPC);
        // Not exit(): with close() failing, a sanitizer's check at exit would never end.
        _exit(error::Errno(file.Finish()) == ENOSPC ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(OutputFileTest, AFullDiskIsSeenAtTheWrite) {
  EXPECT_EXIT(
      {
        OutputFile file = *OutputFile::Create(dir_, "out", 0600);
        test::TrapSyscall(SYS_pwrite64, ENOSPC);
        const absl::Status status = file.WriteAt(0, "x");
        std::exit(status.code() == absl::StatusCode::kResourceExhausted ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace vmkeep::fs
