// What only Linux has: signals, descriptors, /proc, programs of POSIX.
#include "common/process/process.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/process/child.h"

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <thread>

namespace vmkeep::process {
namespace {

using ::testing::HasSubstr;

TEST(PosixProcessTest, ArgumentsAreNeverReadByAShell) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const RunResult result,
                              RunToEnd({"printf", "%s|", "$HOME", "a b", "`id`", ";", ""}, kSoon));
  EXPECT_EQ(result.out, "$HOME|a b|`id`|;||");
}

TEST(PosixProcessTest, TheChildHasNoDescriptorOfOurs) {
  // Without CLOEXEC on purpose: a library's mistake must not hand a disk or a socket to a child.
  const int leak = open("/dev/null", O_RDONLY);
  ASSERT_GE(leak, 0);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const RunResult result, RunToEnd({"ls", "/proc/self/fd"}, kSoon));
  close(leak);
  EXPECT_EQ(result.out, "0\n1\n2\n3\n");  // 3 is the folder that ls reads
}

TEST(PosixProcessTest, ReportsStatusOutputAndErrors) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const RunResult result, RunToEnd({"ls", "/no/such/folder"}, kSoon));
  EXPECT_EQ(result.exit_status.code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("No such file or directory"));  // LC_ALL=C
}

TEST(PosixProcessTest, AKilledChildIsReportedWithItsSignal) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = {"sleep", "60"}}));
  child->Kill();
  const std::optional<ExitStatus> status = child->Wait(kSoon);
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->signal, SIGKILL);
  EXPECT_FALSE(status->ok());
  EXPECT_EQ(status->ToString(), "signal 9");
}

TEST(PosixProcessTest, AStoppedOneIsKilledToo) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = {"sleep", "60"}}));
  ASSERT_EQ(kill(child->id().pid, SIGSTOP), 0);
  EXPECT_TRUE(KillAndWait(child->id(), kSoon));
  EXPECT_EQ(child->Wait(kSoon)->signal, SIGKILL);
}

TEST(PosixProcessTest, StartTimesAreTheKernels) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const uint64_t ours, StartTime(getpid()));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = {"cat"}}));
  EXPECT_GE(child->id().start_time, ours);
  EXPECT_GT(ours, 0u);
}

// A worker that hangs in one thread shows a first thread that is a zombie after its SIGKILL.
TEST(PosixProcessTest, AProcessRunsAsLongAsAnyThreadOfIt) {
  const pid_t pid = fork();
  if (pid == 0) {
    std::thread([] { pause(); }).detach();
    syscall(SYS_exit, 0);  // this thread only
  }
  ASSERT_GT(pid, 0);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const uint64_t start_time, StartTime(pid));
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const auto first_thread_is_zombie = [&] {
    std::ifstream file(path);
    std::string text((std::istreambuf_iterator<char>(file)), {});
    return absl::StrContains(text, ") Z ");
  };
  for (const absl::Time start = absl::Now();
       !first_thread_is_zombie() && absl::Now() - start < kSoon;) {
    std::this_thread::yield();
  }
  EXPECT_TRUE(first_thread_is_zombie());
  EXPECT_TRUE(IsRunning({pid, start_time}));
  EXPECT_TRUE(KillAndWait({pid, start_time}, kSoon));
  EXPECT_FALSE(IsRunning({pid, start_time}));
  EXPECT_EQ(waitpid(pid, nullptr, 0), pid);
}

}  // namespace
}  // namespace vmkeep::process
