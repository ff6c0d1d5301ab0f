#include "common/process/process.h"

#include "tests/support/status_matchers.h"
#include "tests/unit/process/child.h"

#include "absl/time/clock.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
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

TEST(SpawnTest, LinesGoInAndComeBack) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = Child({"cat"})}));
  ASSERT_THAT(child->Write("one\n", kSoon), IsOk());
  VMKEEP_ASSERT_OK_AND_ASSIGN(const ChildProcess::Output output, child->ReadSome(kSoon));
  EXPECT_EQ(output.bytes, "one\n");
  child->CloseStdin();
  VMKEEP_ASSERT_OK_AND_ASSIGN(const ChildProcess::Output end, child->ReadSome(kSoon));
  EXPECT_TRUE(end.ended);
  EXPECT_TRUE(child->Wait(kSoon).value().ok());
}

TEST(SpawnTest, AMissingProgramIsNamed) {
  EXPECT_THAT(Spawn({.argv = {"/no/such/program"}}),
              AllOf(StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("/no/such/program")),
                    HasReason("PROGRAM_NOT_STARTED")));
  EXPECT_THAT(Spawn({.argv = {}}), HasReason("PROGRAM_NOT_STARTED"));
}

TEST(SpawnTest, TheEnvironmentIsOursWithAdditions) {
  // A variable that both systems have; only putenv() would be the same on both, and is not wanted.
  VMKEEP_ASSERT_OK_AND_ASSIGN(
      const auto child,
      Spawn({.argv = Child({"environment", "PATH", "VMKEEP_TEST_A", "VMKEEP_TEST_B"}),
             .environment = {{"VMKEEP_TEST_A", "theirs"}, {"VMKEEP_TEST_B", "\u00e9 = \u4e2d"}}}));
  EXPECT_EQ(ReadAll(child.get()), std::string(std::getenv("PATH")) + "\ntheirs\n\u00e9 = \u4e2d\n");
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto replaced, Spawn({.argv = Child({"environment", "PATH"}),
                                                          .environment = {{"PATH", "nowhere"}}}));
  EXPECT_EQ(ReadAll(replaced.get()), "nowhere\n");
}

TEST(SpawnTest, ArgumentsArriveAsTheyAre) {
  const std::vector<std::string> odd = {"it's; $(calc) \u00e9",
                                        "a\\\\\"b",
                                        "",
                                        "`id`",
                                        "%PATH%",
                                        "a b\\",
                                        "\\\\server\\share\\",
                                        "\"",
                                        "*",
                                        "\u4e2d\U0001F600",
                                        "tab\tnew\nline",
                                        "^&|<>",
                                        "-x=\"y z\""};
  std::vector<std::string> command = {"arguments"};
  std::string wanted;
  for (const std::string& one : odd) {
    command.push_back(one);
    wanted += "[" + one + "]\n";
  }
  VMKEEP_ASSERT_OK_AND_ASSIGN(const RunResult result, RunToEnd(Child(command), kSoon));
  EXPECT_EQ(result.out, wanted);
}

TEST(SpawnTest, AMegabyteGoesInAndComesBack) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = Child({"cat"})}));
  std::string text(1 << 20, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7 + i / 4096);
  // From a thread that ends before the last byte is read: a transfer must not depend on its thread.
  std::thread writer([&] {
    EXPECT_THAT(child->Write(text, kSoon), IsOk());
    child->CloseStdin();
  });
  std::string back;
  std::thread reader([&] { back = child->ReadSome(kSoon)->bytes; });
  reader.join();
  back += ReadAll(child.get());
  writer.join();
  EXPECT_EQ(back.size(), text.size());
  EXPECT_TRUE(back == text);
  EXPECT_TRUE(child->Wait(kSoon).value().ok());
}

TEST(SpawnTest, ReadersMayBeThreadsThatEnd) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = Child({"cat"})}));
  for (int i = 0; i < 20; ++i) {
    std::thread([&] { EXPECT_THAT(child->ReadSome(absl::Milliseconds(1)), IsOk()); }).join();
    const std::string line = "line " + std::to_string(i) + "\n";
    ASSERT_THAT(child->Write(line, kSoon), IsOk());
    VMKEEP_ASSERT_OK_AND_ASSIGN(const ChildProcess::Output output, child->ReadSome(kSoon));
    EXPECT_EQ(output.bytes, line);
  }
}

TEST(SpawnTest, WhatWasWrittenIsReadAlsoAfterStdinIsClosed) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = Child({"cat"})}));
  const std::string text(40000, 'x');
  ASSERT_THAT(child->Write(text, kSoon), IsOk());
  child->CloseStdin();
  EXPECT_EQ(ReadAll(child.get()), text);
  EXPECT_THAT(child->Write("x", kSoon), HasReason("PROCESS_GONE"));
}

TEST(SpawnTest, WithoutStdinThereIsNothingToRead) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child,
                              Spawn({.argv = Child({"cat"}), .with_stdin = false}));
  EXPECT_EQ(ReadAll(child.get()), "");
  EXPECT_TRUE(child->Wait(kSoon).value().ok());
}

TEST(SpawnTest, ReadReturnsAtItsTimeoutAndAtAStop) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = Child({"cat"})}));
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
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = Child({"cat"})}));
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
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = Child({"exit", "0"})}));
  ASSERT_TRUE(child->Wait(kSoon).has_value());
  EXPECT_THAT(child->Write("x\n", kSoon),
              AllOf(StatusIs(absl::StatusCode::kUnavailable), HasReason("PROCESS_GONE")));
}

TEST(SpawnTest, AWriteToAChildThatDoesNotReadEnds) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = Child({"sleep"})}));
  EXPECT_THAT(child->Write(std::string(64 << 20, 'x'), absl::Milliseconds(20)),
              HasReason("PROCESS_DEADLINE"));
}

TEST(SpawnTest, AKilledChildIsReportedAsKilled) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = Child({"sleep"})}));
  EXPECT_EQ(child->Wait(absl::ZeroDuration()), std::nullopt);
  child->Kill();
  const std::optional<ExitStatus> status = child->Wait(kSoon);
  ASSERT_TRUE(status.has_value());
  EXPECT_TRUE(status->killed()) << status->ToString();
  EXPECT_FALSE(status->ok());
  EXPECT_TRUE(child->Wait(absl::ZeroDuration())->killed());
}

TEST(SpawnTest, ExitCodesAreReported) {
  // 259 is STILL_ACTIVE on Windows; POSIX has eight bits.
  for (const int code : {0, 1, 255}) {
    VMKEEP_ASSERT_OK_AND_ASSIGN(const RunResult result,
                                RunToEnd(Child({"exit", std::to_string(code)}), kSoon));
    EXPECT_EQ(result.exit_status.code, code);
    EXPECT_EQ(result.exit_status.signal, 0);
    EXPECT_EQ(result.exit_status.ok(), code == 0);
    EXPECT_FALSE(result.exit_status.killed());
  }
}

TEST(ExitStatusTest, SaysWhatItWas) {
  EXPECT_EQ((ExitStatus{3, 0}.ToString()), "exit status 3");
  EXPECT_EQ((ExitStatus{-1, 9}.ToString()), "signal 9");
  EXPECT_EQ((ExitStatus{kKilledCode, 0}.ToString()), "killed");
  EXPECT_EQ((ExitStatus{static_cast<int>(0xC0000005), 0}.ToString()), "exit status 0xc0000005");
  EXPECT_FALSE((ExitStatus{-1, 6}.killed()));
}

TEST(SpawnTest, ADestroyedChildIsDeadAndReaped) {
  ProcessId id;
  {
    VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = Child({"sleep"})}));
    id = child->id();
    EXPECT_TRUE(IsRunning(id));
  }
  EXPECT_FALSE(IsRunning(id));
  EXPECT_THAT(StartTime(id.pid), HasReason("PROCESS_NOT_FOUND"));
}

TEST(SpawnTest, TheEndOfStdinReachesTheChildWhoeverElseWasStarted) {
  // If a second child inherited our end of the first one's stdin, the first would never see the end
  // of it.
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto first, Spawn({.argv = Child({"cat"})}));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto second, Spawn({.argv = Child({"cat"})}));
  first->CloseStdin();
  EXPECT_TRUE(first->Wait(kSoon).has_value());
}

TEST(RunToEndTest, ReportsStatusOutputAndErrors) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const RunResult result,
                              RunToEnd(Child({"fail", "no such folder"}), kSoon));
  EXPECT_EQ(result.exit_status.code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "no such folder");
}

TEST(RunToEndTest, MuchStderrDoesNotBlockAndKeepsItsEnd) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const RunResult result,
                              RunToEnd(Child({"stderr", "1000000", "the end"}), kSoon));
  EXPECT_EQ(result.out, "done\n");
  EXPECT_EQ(result.err.size(), kMaxStderrBytes);
  EXPECT_THAT(result.err, EndsWith("the end"));
}

TEST(RunToEndTest, PastTheDeadlineItIsKilled) {
  EXPECT_THAT(RunToEnd(Child({"sleep"}), absl::Milliseconds(20)),
              AllOf(StatusIs(absl::StatusCode::kDeadlineExceeded), HasReason("PROCESS_DEADLINE")));
  // Also when it has closed its stdout and lives on.
  EXPECT_THAT(RunToEnd(Child({"mute"}), absl::Milliseconds(500)), HasReason("PROCESS_DEADLINE"));
}

TEST(RunToEndTest, AStopKillsIt) {
  std::stop_source stop;
  const std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_THAT(RunToEnd(Child({"sleep"}), kSoon, stop.get_token()),
              AllOf(StatusIs(absl::StatusCode::kCancelled), HasReason("CANCELLED")));
}

TEST(RunToEndTest, EndlessOutputIsCutOff) {
  EXPECT_THAT(RunToEnd(Child({"endless"}), kSoon), HasReason("PROCESS_OUTPUT_TOO_LONG"));
}

TEST(ProcessIdTest, AnotherStartTimeIsAnotherProcess) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = Child({"sleep"})}));
  const ProcessId reused{child->id().pid, child->id().start_time + 1};
  EXPECT_FALSE(IsRunning(reused));
  EXPECT_FALSE(KillIfRunning(reused));
  EXPECT_TRUE(IsRunning(child->id()));
  EXPECT_TRUE(KillIfRunning(child->id()));
  EXPECT_TRUE(child->Wait(kSoon)->killed());
  EXPECT_FALSE(KillIfRunning(child->id()));
}

TEST(ProcessIdTest, KilledAndGoneIsOneCallForExactlyThisProcess) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = Child({"sleep"})}));
  EXPECT_TRUE(KillAndWait({child->id().pid, child->id().start_time + 1}, kSoon)) << "long gone";
  EXPECT_TRUE(IsRunning(child->id()));
  EXPECT_TRUE(KillAndWait(child->id(), kSoon));
  EXPECT_FALSE(IsRunning(child->id()));
  EXPECT_TRUE(KillAndWait(child->id(), absl::ZeroDuration())) << "not reaped yet, but dead";
  EXPECT_TRUE(child->Wait(kSoon)->killed());
  EXPECT_TRUE(KillAndWait(child->id(), absl::ZeroDuration()));
}

}  // namespace
}  // namespace vmkeep::process
