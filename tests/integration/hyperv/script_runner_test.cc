// One script from its start to its end, with everything that can be wrong with it.
#include "executor/hypervisor/hyperv/script_runner.h"

#include "common/clock.h"
#include "tests/integration/hyperv/replay.h"
#include "tests/support/status_matchers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace vmkeep::executor::hyperv {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::vmkeep::test::HasReason;
using ::vmkeep::test::IsOk;
using ::vmkeep::test::StatusIs;

class ScriptRunnerTest : public ::testing::Test {
 protected:
  absl::Status Export(absl::string_view transcript, const Stops& stops = {}) {
    replay_.Play("export-vm", transcript);
    wire::Request request;
    request.mutable_export_vm()->set_vm_id(kVm);
    request.mutable_export_vm()->set_folder("/nas/\"$(x)';\n");
    request.mutable_export_vm()->add_captures(wire::DATA_CONSISTENT);
    const absl::Duration began = RealClock().Monotonic();
    const absl::Status status =
        ScriptRunner(replay_.runner())
            .Run(request, context_, limits_, stops, [this](const wire::Line& line) {
              kinds_.push_back(line.body_case());
              if (on_line_) on_line_(line);
            });
    took_ = RealClock().Monotonic() - began;
    return status;
  }

  Replay replay_;
  RunLimits limits_;
  std::function<void(const wire::Line&)> on_line_;
  std::vector<int> kinds_;
  absl::Duration took_;
  const ScriptContext context_{.doing = "export the VM", .vm = "web", .exports = true};
};

TEST_F(ScriptRunnerTest, LinesComeInOrderAndTheRequestIsOneLineOfData) {
  EXPECT_THAT(Export("export-good"), IsOk());
  EXPECT_THAT(kinds_, ElementsAre(wire::Line::kHello, wire::Line::kVm, wire::Line::kStarted,
                                  wire::Line::kProgress, wire::Line::kProgress, wire::Line::kDone));
  EXPECT_EQ(replay_.Log(),
            "export-vm {\"export_vm\":{\"vm_id\":\"6b29fc40-ca47-1067-b31d-00dd010662da\","
            "\"folder\":\"/nas/\\\"$(x)';\\n\",\"captures\":[\"DATA_CONSISTENT\"]}}\n");
}

TEST_F(ScriptRunnerTest, ASlowOneIsWaitedFor) {
  limits_.silence = absl::Seconds(5);
  EXPECT_THAT(Export("export-slow"), IsOk());
  EXPECT_GE(took_, absl::Milliseconds(1800));
}

TEST_F(ScriptRunnerTest, ASilentOneIsKilledAtItsStartDeadline) {
  replay_.start_deadline = absl::Milliseconds(300);
  EXPECT_THAT(Export("export-silent"),
              AllOf(StatusIs(absl::StatusCode::kDeadlineExceeded), HasReason("SCRIPT_DEADLINE")));
  EXPECT_GE(took_, absl::Milliseconds(300));
}

TEST_F(ScriptRunnerTest, OneThatFallsSilentIsKilled) {
  limits_.silence = absl::Milliseconds(400);
  EXPECT_THAT(Export("export-silent-later"), HasReason("SCRIPT_DEADLINE"));
  // The silence begins at the start of the process; lines put it off, noise does not.
  EXPECT_LT(took_, absl::Seconds(10));
}

TEST_F(ScriptRunnerTest, OneThatGoesOnTooLongIsKilled) {
  limits_.deadline = absl::Milliseconds(900);
  EXPECT_THAT(Export("export-slow"), HasReason("SCRIPT_DEADLINE"));
}

TEST_F(ScriptRunnerTest, ExitStatus0WithoutDoneIsAFailure) {
  EXPECT_THAT(Export("export-no-done"), HasReason("SCRIPT_FAILED"));
  kinds_.clear();
  EXPECT_THAT(Export("export-nothing-at-all"), HasReason("SCRIPT_FAILED"));
  EXPECT_TRUE(kinds_.empty());
}

TEST_F(ScriptRunnerTest, ACrashIsAFailureWithWhatItWroteToStderr) {
  const absl::Status status = Export("export-crash");
  EXPECT_THAT(status, HasReason("SCRIPT_FAILED"));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("signal 9"), HasSubstr("Unhandled exception")));
}

TEST_F(ScriptRunnerTest, GarbageBetweenTheLinesIsSkipped) {
  EXPECT_THAT(Export("export-garbage"), IsOk());
  EXPECT_THAT(kinds_, ElementsAre(wire::Line::kHello, wire::Line::kVm, wire::Line::kStarted,
                                  wire::Line::kProgress, wire::Line::kDone));
}

TEST_F(ScriptRunnerTest, ALineOf10MegabytesIsSkipped) {
  EXPECT_THAT(Export("export-huge-line"), IsOk());
  EXPECT_EQ(kinds_.size(), 5u);
}

TEST_F(ScriptRunnerTest, TwoEndingsAreNone) {
  EXPECT_THAT(Export("export-two-endings"), HasReason("SCRIPT_PROTOCOL"));
}

TEST_F(ScriptRunnerTest, DoneCountsWithExitStatus0Alone) {
  EXPECT_THAT(Export("export-done-exit-3"), HasReason("SCRIPT_FAILED"));
  EXPECT_THAT(Export("export-done-stays"), HasReason("SCRIPT_FAILED"));
  EXPECT_LT(took_, absl::Seconds(10)) << "killed after its grace";
  EXPECT_THAT(Export("export-done-closed"), IsOk()) << "it closed stdout first, then ended";
}

TEST_F(ScriptRunnerTest, StderrAloneIsNoFailure) { EXPECT_THAT(Export("export-stderr"), IsOk()); }

TEST_F(ScriptRunnerTest, AnotherScriptIsNotListenedTo) {
  EXPECT_THAT(Export("export-other-script"), HasReason("SCRIPT_PROTOCOL"));
  EXPECT_TRUE(kinds_.empty());
}

TEST_F(ScriptRunnerTest, AnErrorIsMappedByItsCode) {
  EXPECT_THAT(Export("export-full"),
              AllOf(StatusIs(absl::StatusCode::kResourceExhausted), HasReason("REPOSITORY_FULL")));
}

TEST_F(ScriptRunnerTest, ACancelIsALineAndIsAnswered) {
  std::stop_source cancel;
  on_line_ = [&](const wire::Line& line) {
    if (line.has_progress()) cancel.request_stop();
  };
  EXPECT_THAT(Export("export-until-cancel", {.cancel = cancel.get_token(), .abandon = {}}),
              AllOf(StatusIs(absl::StatusCode::kCancelled), HasReason("CANCELLED")));
  EXPECT_THAT(replay_.Log(), HasSubstr("export-vm {\"cancel\":{}}\n"));
  EXPECT_EQ(kinds_.back(), wire::Line::kCancelled);
}

TEST_F(ScriptRunnerTest, OneThatIsDoneByThenIsDone) {
  std::stop_source cancel;
  on_line_ = [&](const wire::Line& line) {
    if (line.has_progress()) cancel.request_stop();
  };
  EXPECT_THAT(Export("export-done-at-cancel", {.cancel = cancel.get_token(), .abandon = {}}),
              IsOk());
}

TEST_F(ScriptRunnerTest, OneThatIgnoresACancelIsKilledAfterItsGrace) {
  std::stop_source cancel;
  absl::Duration at;
  on_line_ = [&](const wire::Line& line) {
    if (!line.has_progress()) return;
    at = RealClock().Monotonic();
    cancel.request_stop();
  };
  EXPECT_THAT(Export("export-ignores-cancel", {.cancel = cancel.get_token(), .abandon = {}}),
              AllOf(StatusIs(absl::StatusCode::kUnavailable), HasReason("SCRIPT_NOT_CANCELLED")));
  EXPECT_GE(RealClock().Monotonic() - at, absl::Milliseconds(500));
}

TEST_F(ScriptRunnerTest, AnAbandonedOneIsKilledAtOnceAlsoInItsGrace) {
  std::stop_source cancel, abandon;
  on_line_ = [&](const wire::Line& line) {
    if (!line.has_progress()) return;
    cancel.request_stop();
    abandon.request_stop();
  };
  EXPECT_THAT(Export("export-ignores-cancel",
                     {.cancel = cancel.get_token(), .abandon = abandon.get_token()}),
              HasReason("CANCELLED"));
}

TEST_F(ScriptRunnerTest, AStopFromAnotherThreadEndsAWait) {
  std::stop_source abandon;
  std::jthread later([&] {
    RealClock().WaitFor(absl::Milliseconds(200), {});
    abandon.request_stop();
  });
  EXPECT_THAT(Export("export-silent", {.cancel = {}, .abandon = abandon.get_token()}),
              HasReason("CANCELLED"));
  EXPECT_LT(took_, absl::Seconds(10)) << "not at the start deadline";
}

TEST_F(ScriptRunnerTest, WithoutAnInterpreterItSaysSo) {
  RunnerOptions options = replay_.runner();
  options.interpreter = "/nowhere/powershell.exe";
  wire::Request request;
  request.mutable_list_vms();
  EXPECT_THAT(ScriptRunner(options).Run(request, context_, limits_, {}, {}),
              HasReason("PROGRAM_NOT_STARTED"));
}

}  // namespace
}  // namespace vmkeep::executor::hyperv
