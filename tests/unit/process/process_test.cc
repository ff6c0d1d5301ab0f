#include "common/process/process.h"

#include "tests/support/status_matchers.h"

#include "absl/time/clock.h"
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <iterator>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace vmkeep::process {
namespace {

using test::HasReason;
using test::IsOk;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;

constexpr absl::Duration kSoon =
    absl::Seconds(10);  // far above what is needed: a limit, not a pace

std::string ReadAll(ChildProcess* child) {
  std::string all;
  while (true) {
    const absl::StatusOr<ChildProcess::Output> output = child->ReadSome(kSoon);
    if (!output.ok() || (output->bytes.empty())) return all;
    all += output->bytes;
  }
}

TEST(SpawnTest, LinesGoInAndComeBack) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = {"cat"}}));
  ASSERT_THAT(child->Write("one\n", kSoon), IsOk());
  VMKEEP_ASSERT_OK_AND_ASSIGN(const ChildProcess::Output output, child->ReadSome(kSoon));
  EXPECT_EQ(output.bytes, "one\n");
  child->CloseStdin();
  VMKEEP_ASSERT_OK_AND_ASSIGN(const ChildProcess::Output end, child->ReadSome(kSoon));
  EXPECT_TRUE(end.ended);
  EXPECT_TRUE(child->Wait(kSoon).value().ok());
}

TEST(SpawnTest, ArgumentsAreNeverReadByAShell) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const RunResult result,
                              RunToEnd({"printf", "%s|", "$HOME", "a b", "`id`", ";", ""}, kSoon));
  EXPECT_EQ(result.out, "$HOME|a b|`id`|;||");
}

TEST(SpawnTest, AMissingProgramIsNamed) {
  EXPECT_THAT(Spawn({.argv = {"/no/such/program"}}),
              AllOf(StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("/no/such/program")),
                    HasReason("PROGRAM_NOT_STARTED")));
  EXPECT_THAT(Spawn({.argv = {}}), HasReason("PROGRAM_NOT_STARTED"));
}

TEST(SpawnTest, TheChildHasNoDescriptorOfOurs) {
  // Without CLOEXEC on purpose: a library's mistake must not hand a disk or a socket to a child.
  const int leak = open("/dev/null", O_RDONLY);
  ASSERT_GE(leak, 0);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const RunResult result, RunToEnd({"ls", "/proc/self/fd"}, kSoon));
  close(leak);
  EXPECT_EQ(result.out, "0\n1\n2\n3\n");  // 3 is the folder that ls reads
}

TEST(SpawnTest, TheEnvironmentIsOursWithAdditions) {
  ASSERT_EQ(setenv("VMKEEP_TEST_A", "ours", 1), 0);
  ASSERT_EQ(setenv("VMKEEP_TEST_B", "ours", 1), 0);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child,
                              Spawn({.argv = {"printenv", "VMKEEP_TEST_A", "VMKEEP_TEST_B"},
                                     .environment = {{"VMKEEP_TEST_B", "theirs"}}}));
  EXPECT_EQ(ReadAll(child.get()), "ours\ntheirs\n");
}

TEST(SpawnTest, ReadReturnsAtItsTimeoutAndAtAStop) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = {"cat"}}));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const ChildProcess::Output nothing,
                              child->ReadSome(absl::Milliseconds(1)));
  EXPECT_TRUE(nothing.bytes.empty());
  EXPECT_FALSE(nothing.ended);

  std::stop_source stop;
  const absl::Time start = absl::Now();
  const std::jthread stopper([&] { stop.request_stop(); });
  VMKEEP_ASSERT_OK_AND_ASSIGN(const ChildProcess::Output stopped,
                              child->ReadSome(kSoon, stop.get_token()));
  EXPECT_FALSE(stopped.ended);
  EXPECT_LT(absl::Now() - start, kSoon / 2);
}

// For ThreadSanitizer, which was red here: a stop that came as the read ended rang a descriptor
// that was closed, or was another's by then.
TEST(SpawnTest, AStopMayComeAsTheReadEnds) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = {"cat"}}));
  for (int i = 0; i < 300; ++i) {
    std::stop_source stop;
    std::atomic<bool> reading = false;
    const std::jthread stopper([&] {
      while (!reading) continue;
      stop.request_stop();
    });
    reading = true;
    VMKEEP_ASSERT_OK_AND_ASSIGN(const ChildProcess::Output none,
                                child->ReadSome(absl::ZeroDuration(), stop.get_token()));
    EXPECT_FALSE(none.ended);
  }
}

TEST(SpawnTest, AWriteToAChildThatIsGoneIsAnErrorNotASignal) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = {"true"}}));
  ASSERT_TRUE(child->Wait(kSoon).has_value());
  EXPECT_THAT(child->Write("x\n", kSoon),
              AllOf(StatusIs(absl::StatusCode::kUnavailable), HasReason("PROCESS_GONE")));
}

TEST(SpawnTest, AWriteToAChildThatDoesNotReadEnds) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = {"sleep", "60"}}));
  EXPECT_THAT(child->Write(std::string(64 << 20, 'x'), absl::Milliseconds(20)),
              HasReason("PROCESS_DEADLINE"));
}

TEST(SpawnTest, AKilledChildIsReportedWithItsSignal) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = {"sleep", "60"}}));
  EXPECT_EQ(child->Wait(absl::ZeroDuration()), std::nullopt);
  child->Kill();
  const std::optional<ExitStatus> status = child->Wait(kSoon);
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->signal, SIGKILL);
  EXPECT_FALSE(status->ok());
  EXPECT_EQ(status->ToString(), "signal 9");
  EXPECT_EQ(child->Wait(absl::ZeroDuration())->signal, SIGKILL);
}

TEST(SpawnTest, ADestroyedChildIsDeadAndReaped) {
  ProcessId id;
  {
    VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = {"sleep", "60"}}));
    id = child->id();
    EXPECT_TRUE(IsRunning(id));
  }
  EXPECT_FALSE(IsRunning(id));
  EXPECT_THAT(StartTime(id.pid), HasReason("PROCESS_NOT_FOUND"));
}

TEST(SpawnTest, TheEndOfStdinReachesTheChildWhoeverElseWasStarted) {
  // If a second child inherited our end of the first one's stdin, the first would never see the end
  // of it.
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto first, Spawn({.argv = {"cat"}}));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto second, Spawn({.argv = {"cat"}}));
  first->CloseStdin();
  EXPECT_TRUE(first->Wait(kSoon).has_value());
}

TEST(RunToEndTest, ReportsStatusOutputAndErrors) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const RunResult result, RunToEnd({"ls", "/no/such/folder"}, kSoon));
  EXPECT_EQ(result.exit_status.code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("No such file or directory"));  // LC_ALL=C
}

TEST(RunToEndTest, MuchStderrDoesNotBlockAndKeepsItsEnd) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(
      const RunResult result,
      RunToEnd({"python3", "-c",
                "import sys; sys.stderr.write('x' * 1000000 + 'the end'); print('done')"},
               kSoon));
  EXPECT_EQ(result.out, "done\n");
  EXPECT_EQ(result.err.size(), kMaxStderrBytes);
  EXPECT_THAT(result.err, EndsWith("the end"));
}

TEST(RunToEndTest, PastTheDeadlineItIsKilled) {
  EXPECT_THAT(RunToEnd({"sleep", "60"}, absl::Milliseconds(20)),
              AllOf(StatusIs(absl::StatusCode::kDeadlineExceeded), HasReason("PROCESS_DEADLINE")));
  // Also when it has closed its stdout and lives on.
  EXPECT_THAT(RunToEnd({"python3", "-c", "import os, time; os.close(1); time.sleep(60)"},
                       absl::Milliseconds(500)),
              HasReason("PROCESS_DEADLINE"));
}

TEST(RunToEndTest, AStopKillsIt) {
  std::stop_source stop;
  const std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_THAT(RunToEnd({"sleep", "60"}, kSoon, stop.get_token()),
              AllOf(StatusIs(absl::StatusCode::kCancelled), HasReason("CANCELLED")));
}

TEST(RunToEndTest, EndlessOutputIsCutOff) {
  EXPECT_THAT(RunToEnd({"cat", "/dev/zero"}, kSoon), HasReason("PROCESS_OUTPUT_TOO_LONG"));
}

TEST(ProcessIdTest, AnotherStartTimeIsAnotherProcess) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = {"sleep", "60"}}));
  const ProcessId reused{child->id().pid, child->id().start_time + 1};
  EXPECT_FALSE(IsRunning(reused));
  EXPECT_FALSE(KillIfRunning(reused));
  EXPECT_TRUE(IsRunning(child->id()));
  EXPECT_TRUE(KillIfRunning(child->id()));
  EXPECT_EQ(child->Wait(kSoon)->signal, SIGKILL);
  EXPECT_FALSE(KillIfRunning(child->id()));
}

TEST(ProcessIdTest, KilledAndGoneIsOneCallForExactlyThisProcess) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = {"sleep", "60"}}));
  EXPECT_TRUE(KillAndWait({child->id().pid, child->id().start_time + 1}, kSoon)) << "long gone";
  EXPECT_TRUE(IsRunning(child->id()));
  ASSERT_EQ(kill(child->id().pid, SIGSTOP), 0);
  EXPECT_TRUE(KillAndWait(child->id(), kSoon));
  EXPECT_FALSE(IsRunning(child->id()));
  EXPECT_TRUE(KillAndWait(child->id(), absl::ZeroDuration())) << "not reaped yet, but dead";
  EXPECT_EQ(child->Wait(kSoon)->signal, SIGKILL);
  EXPECT_TRUE(KillAndWait(child->id(), absl::ZeroDuration()));
}

TEST(ProcessIdTest, StartTimesAreTheKernels) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const uint64_t ours, StartTime(getpid()));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = {"cat"}}));
  EXPECT_GE(child->id().start_time, ours);
  EXPECT_GT(ours, 0u);
}

// A worker that hangs in one thread shows a first thread that is a zombie after its SIGKILL.
TEST(ProcessTest, AProcessRunsAsLongAsAnyThreadOfIt) {
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
    return text.find(") Z ") != std::string::npos;
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
