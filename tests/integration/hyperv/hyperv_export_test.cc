// The verbs that export: what the backend makes of each way a script can go.
#include "common/clock.h"
#include "tests/integration/hyperv/replay.h"
#include "tests/support/status_matchers.h"

#include "absl/strings/match.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>

namespace vmkeep::executor {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::vmkeep::test::HasReason;
using ::vmkeep::test::IsOk;
using ::vmkeep::test::StatusIs;

class HyperVExportTest : public ::testing::Test {
 protected:
  void Open() {
    hypervisor_ = replay_.Open();
    ASSERT_NE(hypervisor_, nullptr);
    replay_.Play("end-export", "end-nothing-ran");
  }
  absl::Status Start(absl::string_view transcript) {
    replay_.Play("export-vm", transcript);
    return hypervisor_->StartExport(plan_, stop_.get_token());
  }
  ExportStatus Status() { return *hypervisor_->GetExportStatus(plan_); }
  // The status once the script has ended.
  ExportStatus Ended() {
    const absl::Duration deadline = RealClock().Monotonic() + absl::Seconds(20);
    while (Status().phase == ExportPhase::kRunning && RealClock().Monotonic() < deadline)
      RealClock().WaitFor(absl::Milliseconds(5), {});
    return Status();
  }
  bool RanEndExport() const {
    return absl::StrContains(replay_.Log(), "end-export {\"end_export\"");
  }

  Replay replay_;
  std::unique_ptr<Hypervisor> hypervisor_;
  std::stop_source stop_;  // of Start()
  ExportPlan plan_{.vm_uuid = kVm,
                   .folder = R"(\\nas\vmkeep\.incoming\x\.export)",
                   .quiesce = QuiescePolicy::kIfAvailable};
};

TEST_F(HyperVExportTest, IsFollowedFromItsBeginToItsEnd) {
  Open();
  EXPECT_EQ(Status().phase, ExportPhase::kNone);
  const absl::Time before = absl::Now();
  ASSERT_THAT(Start("export-slow"), IsOk());
  EXPECT_EQ(Status().phase, ExportPhase::kRunning);
  const ExportStatus status = Ended();
  EXPECT_EQ(status.phase, ExportPhase::kDone);
  EXPECT_THAT(status.error, IsOk());
  EXPECT_EQ(status.percent, 100);
  EXPECT_EQ(status.bytes_done, 4096);
  EXPECT_EQ(status.result.consistency, Consistency::kApplication);
  EXPECT_THAT(status.result.quiesce_detail, HasSubstr("VSS"));
  // `started` came 0.6 s after the request: the instant is not of then.
  EXPECT_GE(status.result.instant, before);
  EXPECT_LT(status.result.instant, before + absl::Milliseconds(550));
  EXPECT_THAT(hypervisor_->EndExport(plan_), IsOk());
  EXPECT_FALSE(RanEndExport()) << "there is nothing to be ended";
}

TEST_F(HyperVExportTest, CapturesAreThoseOfThePolicy) {
  Open();
  const std::vector<std::pair<QuiescePolicy, std::string>> policies = {
      {QuiescePolicy::kRequired, "[\"DATA_CONSISTENT\"]"},
      {QuiescePolicy::kIfAvailable, "[\"DATA_CONSISTENT\",\"CRASH_CONSISTENT\"]"},
      {QuiescePolicy::kNever, "[\"CRASH_CONSISTENT\"]"}};
  for (const auto& [policy, captures] : policies) {
    plan_.quiesce = policy;
    (void)Start("export-off");
    EXPECT_EQ(Ended().result.consistency, Consistency::kCrash) << "as of libvirt: it was off";
    EXPECT_THAT(Ended().result.quiesce_detail, HasSubstr("was off"));
    EXPECT_THAT(replay_.Log(), HasSubstr("\"captures\":" + captures));
  }
}

TEST_F(HyperVExportTest, WhatWasReachedIsSaid) {
  Open();
  ASSERT_THAT(Start("export-crash-consistent-done"), IsOk());
  EXPECT_EQ(Ended().result.consistency, Consistency::kCrash);
  EXPECT_THAT(Ended().result.quiesce_detail, HasSubstr("could not"));
  plan_.quiesce = QuiescePolicy::kNever;
  ASSERT_THAT(Start("export-crash-consistent-done"), IsOk());
  EXPECT_EQ(Ended().result.quiesce_detail, "not asked for");
}

// Whatever the script does: a record must not say more than is true.
TEST_F(HyperVExportTest, ACaptureThatWasNotAskedForIsCancelled) {
  Open();
  plan_.quiesce = QuiescePolicy::kRequired;
  EXPECT_THAT(Start("export-crash-consistent"), HasReason("QUIESCE_FAILED"));
  EXPECT_THAT(replay_.Log(), HasSubstr("\"cancel\""));
  EXPECT_THAT(Start("export-crash-consistent-done"), HasReason("QUIESCE_FAILED"));
  EXPECT_THAT(Start("export-capture-unsaid"), HasReason("SCRIPT_PROTOCOL"));
  EXPECT_EQ(Ended().phase, ExportPhase::kFailed);
}

TEST_F(HyperVExportTest, AFailureAfterTheBeginIsInTheStatus) {
  const std::vector<std::pair<const char*, const char*>> failures = {
      {"export-no-done", "SCRIPT_FAILED"},
      {"export-crash", "SCRIPT_FAILED"},
      {"export-two-endings", "SCRIPT_PROTOCOL"},
      {"export-done-exit-3", "SCRIPT_FAILED"},
      {"export-full", "REPOSITORY_FULL"}};
  Open();
  for (const auto& [transcript, reason] : failures) {
    ASSERT_THAT(Start(transcript), IsOk()) << transcript;
    const ExportStatus status = Ended();
    EXPECT_EQ(status.phase, ExportPhase::kFailed) << transcript;
    EXPECT_THAT(status.error, HasReason(reason)) << transcript;
  }
  EXPECT_FALSE(RanEndExport());
  EXPECT_THAT(hypervisor_->EndExport(plan_), IsOk());
  EXPECT_TRUE(RanEndExport()) << "Hyper-V may still be at it, whatever the script said";
}

TEST_F(HyperVExportTest, ASilentScriptIsAFailureOfTheExport) {
  replay_.limits.silence = absl::Milliseconds(700);
  Open();
  ASSERT_THAT(Start("export-silent-later"), IsOk());
  EXPECT_THAT(Ended().error, HasReason("SCRIPT_DEADLINE"));
}

TEST_F(HyperVExportTest, OneThatDoesNotBeginIsCancelled) {
  replay_.limits.begin = absl::Milliseconds(500);
  Open();
  EXPECT_THAT(Start("export-never-begins"), HasReason("SCRIPT_DEADLINE"));
  EXPECT_THAT(replay_.Log(), HasSubstr("\"cancel\""));
  EXPECT_THAT(Status().error, HasReason("CANCELLED"));
}

// A user's cancel need not wait for a guest's VSS.
TEST_F(HyperVExportTest, AStopWhileItBeginsIsHeardAtOnce) {
  Open();
  const absl::Duration before = RealClock().Monotonic();
  const std::jthread stopper([this] {
    RealClock().WaitFor(absl::Milliseconds(300), {});
    stop_.request_stop();
  });
  EXPECT_THAT(Start("export-never-begins"),
              AllOf(StatusIs(absl::StatusCode::kCancelled), HasReason("CANCELLED")));
  EXPECT_LT(RealClock().Monotonic() - before, replay_.limits.begin / 2);
  EXPECT_THAT(hypervisor_->EndExport(plan_), IsOk());
  EXPECT_THAT(replay_.Log(), HasSubstr("\"cancel\""));
  EXPECT_FALSE(RanEndExport()) << "the script itself said that nothing runs";
}

// An export that somebody else runs must not be ended for one of ours that never was.
TEST_F(HyperVExportTest, ARefusedOneHasNothingToBeEnded) {
  Open();
  EXPECT_THAT(Start("export-busy"), HasReason("VM_BUSY"));
  EXPECT_EQ(Status().phase, ExportPhase::kFailed);
  EXPECT_THAT(hypervisor_->EndExport(plan_), IsOk());
  EXPECT_FALSE(RanEndExport());
}

// Nothing has begun before the VM was found; later it may have, whatever the error is called.
TEST_F(HyperVExportTest, WhetherAnythingHasBegunIsToldByTheOrderOfLines) {
  Open();
  EXPECT_THAT(Start("export-no-hyperv"), HasReason("HYPERV_MISSING"));
  EXPECT_THAT(hypervisor_->EndExport(plan_), IsOk());
  EXPECT_FALSE(RanEndExport());
  EXPECT_THAT(Start("export-no-hyperv-later"), HasReason("HYPERV_MISSING"));
  EXPECT_THAT(hypervisor_->EndExport(plan_), IsOk());
  EXPECT_TRUE(RanEndExport());
}

// What the real scripts said, see tests/fixtures/README.md.
TEST_F(HyperVExportTest, RecordedExportsAreUnderstood) {
  Open();
  ASSERT_THAT(Start("recorded/running"), IsOk());
  const ExportStatus done = Ended();
  EXPECT_EQ(done.phase, ExportPhase::kDone) << done.error;
  EXPECT_EQ(done.result.consistency, Consistency::kApplication);
  EXPECT_GT(done.bytes_done, 1 << 20);
  ASSERT_THAT(Start("recorded/fails-at-40"), IsOk());
  EXPECT_THAT(Ended().error, HasReason("REPOSITORY_FULL"));
  EXPECT_EQ(Ended().percent, 40);
  ASSERT_THAT(Start("recorded/cancelled"), IsOk());
  EXPECT_THAT(Ended().error, HasReason("CANCELLED"));
  EXPECT_THAT(hypervisor_->EndExport(plan_), IsOk());
  EXPECT_FALSE(RanEndExport());
}

TEST_F(HyperVExportTest, AVmIsExportedOnceAtATime) {
  Open();
  ASSERT_THAT(Start("export-until-cancel"), IsOk());
  ExportPlan second = plan_;
  second.folder = R"(\\nas\vmkeep\.incoming\y\.export)";
  second.vm_uuid = absl::AsciiStrToUpper(kVm);
  EXPECT_THAT(hypervisor_->StartExport(second, {}), HasReason("VM_BUSY"));
  EXPECT_EQ(hypervisor_->GetExportStatus(second)->phase, ExportPhase::kNone);
  EXPECT_THAT(hypervisor_->EndExport(second), IsOk()) << "nobody writes there";
  EXPECT_EQ(Status().phase, ExportPhase::kRunning);
  EXPECT_FALSE(RanEndExport());

  EXPECT_THAT(hypervisor_->EndExport(plan_), IsOk());
  EXPECT_THAT(Status().error, HasReason("CANCELLED"));
  EXPECT_FALSE(RanEndExport()) << "the script said that nothing runs";
  EXPECT_THAT(hypervisor_->EndExport(plan_), IsOk());
}

TEST_F(HyperVExportTest, ACancelThatIsIgnoredIsFollowedByEndExport) {
  Open();
  ASSERT_THAT(Start("export-ignores-cancel"), IsOk());
  replay_.Play("end-export", "end-still-exporting");
  EXPECT_THAT(hypervisor_->EndExport(plan_),
              AllOf(StatusIs(absl::StatusCode::kUnavailable), HasReason("EXPORT_NOT_ENDED")));
  EXPECT_THAT(Status().error, HasReason("SCRIPT_NOT_CANCELLED"));
  replay_.Play("end-export", "end-crash");
  EXPECT_THAT(hypervisor_->EndExport(plan_), HasReason("EXPORT_NOT_ENDED")) << "nobody knows";
  replay_.Play("end-export", "end-it-ran");
  EXPECT_THAT(hypervisor_->EndExport(plan_), IsOk());
}

TEST_F(HyperVExportTest, OneThatIsUnknownIsEndedByTheScript) {
  Open();
  EXPECT_THAT(hypervisor_->EndExport(plan_), IsOk());
  EXPECT_THAT(replay_.Log(), HasSubstr("end-export {\"end_export\":{\"vm_id\":\"" +
                                       std::string(kVm) + "\",\"wait_seconds\":1}}"));
}

TEST_F(HyperVExportTest, NoneBeginsWhileAnotherIsBeingEnded) {
  Open();
  replay_.Play("end-export", "end-slow");
  std::jthread ender([&] { EXPECT_THAT(hypervisor_->EndExport(plan_), IsOk()); });
  while (!RanEndExport()) RealClock().WaitFor(absl::Milliseconds(2), {});
  EXPECT_THAT(Start("export-good"), HasReason("VM_BUSY"));
  EXPECT_THAT(replay_.Log(), Not(HasSubstr("export-vm {")));
}

TEST_F(HyperVExportTest, AnExportDoesNotHoldUpTheEndAndIsNotCancelled) {
  Open();
  ASSERT_THAT(Start("export-until-cancel"), IsOk());
  hypervisor_.reset();
  EXPECT_THAT(replay_.Log(), Not(HasSubstr("\"cancel\"")));
}

TEST_F(HyperVExportTest, APlanMustNameAVmByItsIdAndAnAbsoluteFolder) {
  Open();
  plan_.folder = "incoming";
  EXPECT_THAT(Start("export-good"), HasReason("HYPERVISOR_ERROR"));
  plan_.folder = R"(\\nas\vmkeep)";
  plan_.vm_uuid = "web*";
  EXPECT_THAT(Start("export-good"), HasReason("HYPERVISOR_ERROR"));
  EXPECT_THAT(hypervisor_->EndExport(plan_), HasReason("HYPERVISOR_ERROR"));
}

}  // namespace
}  // namespace vmkeep::executor
