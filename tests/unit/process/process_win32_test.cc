// What only Windows has: jobs, handles, 32 bits of exit code, names of variables without case.
#include "common/process/process.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/process/child.h"

#include <windows.h>
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <thread>

namespace vmkeep::process {
namespace {

using test::HasReason;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

// The "pid start_time" that a child of a child printed.
ProcessId ReadId(ChildProcess* child) {
  std::string text;
  while (text.find('\n') == std::string::npos) {
    const auto output = child->ReadSome(kSoon);
    if (!output.ok() || output->bytes.empty()) break;
    text += output->bytes;
  }
  long long pid = 0;
  unsigned long long start_time = 0;
  EXPECT_EQ(std::sscanf(text.c_str(), "%lld %llu", &pid, &start_time), 2) << text;
  return {static_cast<pid_t>(pid), start_time};
}

// Whether it ends by itself, soon.
bool Ends(const ProcessId& id) {
  const HANDLE process = OpenProcess(SYNCHRONIZE, FALSE, static_cast<DWORD>(id.pid));
  if (process == nullptr) return true;
  const bool ended =
      WaitForSingleObject(process, static_cast<DWORD>(absl::ToInt64Milliseconds(kSoon))) ==
      WAIT_OBJECT_0;
  CloseHandle(process);
  return ended;
}

TEST(WindowsProcessTest, AllThatItStartedDiesWithAKill) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = Child({"plain-family"})}));
  const ProcessId grandchild = ReadId(child.get());
  ASSERT_TRUE(IsRunning(grandchild));
  child->Kill();
  EXPECT_TRUE(Ends(grandchild));
  EXPECT_FALSE(IsRunning(grandchild));
}

TEST(WindowsProcessTest, AllThatItStartedDiesWithTheObject) {
  ProcessId grandchild;
  {
    VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = Child({"plain-family"})}));
    grandchild = ReadId(child.get());
    ASSERT_TRUE(IsRunning(grandchild));
  }
  EXPECT_TRUE(Ends(grandchild));
}

// The child is the parent here, and ends without a word to its own child.
TEST(WindowsProcessTest, OurDeathKillsTheChild) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = Child({"family"})}));
  const ProcessId grandchild = ReadId(child.get());
  ASSERT_TRUE(IsRunning(grandchild));
  ASSERT_TRUE(KillIfRunning(child->id()));  // this process alone, not its job
  EXPECT_TRUE(Ends(grandchild)) << "its job was closed by the kernel";
}

// Not by the handle's number, which in the child may be another one's: the writing end of a pipe,
// whose reader sees its end once nobody has that any more.
TEST(WindowsProcessTest, AHandleOfOursIsNotInherited) {
  SECURITY_ATTRIBUTES inheritable = {sizeof(SECURITY_ATTRIBUTES), nullptr, TRUE};
  HANDLE reader = nullptr;
  HANDLE writer = nullptr;
  ASSERT_TRUE(CreatePipe(&reader, &writer, &inheritable, 0));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = Child({"sleep"})}));
  ASSERT_TRUE(IsRunning(child->id()));
  EXPECT_TRUE(PeekNamedPipe(reader, nullptr, 0, nullptr, nullptr, nullptr));
  CloseHandle(writer);
  EXPECT_FALSE(PeekNamedPipe(reader, nullptr, 0, nullptr, nullptr, nullptr));
  EXPECT_EQ(GetLastError(), static_cast<DWORD>(ERROR_BROKEN_PIPE));
  CloseHandle(reader);
}

TEST(WindowsProcessTest, ExitCodesHave32BitsAnd259IsOne) {
  for (const int code : {259, 100000, -1, static_cast<int>(0xC0000005)}) {
    VMKEEP_ASSERT_OK_AND_ASSIGN(const RunResult result,
                                RunToEnd(Child({"exit", absl::StrCat(code)}), kSoon));
    EXPECT_EQ(result.exit_status.code, code);
    EXPECT_EQ(result.exit_status.signal, 0);
    EXPECT_FALSE(result.exit_status.ok());
  }
}

TEST(WindowsProcessTest, AKilledOneHasOurCode) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = Child({"sleep"})}));
  ASSERT_TRUE(KillIfRunning(child->id()));
  const std::optional<ExitStatus> status = child->Wait(kSoon);
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->code, kKilledCode);
  EXPECT_EQ(status->ToString(), "killed");
}

TEST(WindowsProcessTest, NamesOfVariablesHaveNoCase) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(
      const auto child,
      Spawn({.argv = Child({"environment", "PATH", "Path"}), .environment = {{"pAtH", "theirs"}}}));
  EXPECT_EQ(ReadAll(child.get()), "theirs\ntheirs\n");
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto counts, Spawn({.argv = Child({"count", "path"}),
                                                        .environment = {{"pAtH", "theirs"}}}));
  EXPECT_EQ(ReadAll(counts.get()), "1\n");
}

TEST(WindowsProcessTest, ANameIsLookedUpInThePathWithExeAdded) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, Spawn({.argv = {"cmd", "/c", "exit 3"}}));
  EXPECT_EQ(child->Wait(kSoon)->code, 3);
  EXPECT_THAT(Spawn({.argv = {"vmkeep-no-such-program"}}), HasReason("PROGRAM_NOT_STARTED"));
}

TEST(WindowsProcessTest, WhatIsNoProgramOrNoTextIsRefused) {
  EXPECT_THAT(Spawn({.argv = {"C:\\x.BAT", "a"}}),
              AllOf(StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("batch")),
                    HasReason("PROGRAM_NOT_STARTED")));
  EXPECT_THAT(Spawn({.argv = Child({"print", "\xff"})}), HasReason("PROGRAM_NOT_STARTED"));
  EXPECT_THAT(Spawn({.argv = Child({"print", std::string("a\0b", 3)})}),
              HasReason("PROGRAM_NOT_STARTED"));
  EXPECT_THAT(Spawn({.argv = Child({"print", std::string(40000, 'x')})}),
              HasReason("PROGRAM_NOT_STARTED"));
}

// What a child wrote last is there when it has ended, although no call waited for it: also when the
// thread that read before is gone.
TEST(WindowsProcessTest, StderrIsWholeAfterTheEnd) {
  for (int i = 0; i < 20; ++i) {
    VMKEEP_ASSERT_OK_AND_ASSIGN(
        const auto child,
        Spawn({.argv = Child({"stderr", "60000", "the end"}), .capture_stderr = true}));
    std::thread([&] { (void)child->Wait(absl::ZeroDuration()); }).join();
    ASSERT_TRUE(child->Wait(kSoon).has_value());
    EXPECT_EQ(child->captured_stderr(), std::string(60000, 'x') + "the end");
  }
}

}  // namespace
}  // namespace vmkeep::process
