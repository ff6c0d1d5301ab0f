#include "controller/progress/live_state.h"

#include "tests/contract/store/sample_records.h"
#include "tests/fakes/fake_clock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vmkeep::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LiveStateTest : public testing::Test {
 protected:
  LiveStateTest() {
    live_.OnChange([this](const BackupId& id, LiveState::About about) {
      (about == LiveState::About::kVm ? vm_changed_ : changed_).push_back(id);
    });
  }
  BackupView View(BackupState state = BackupState::kBuilding) {
    BackupRecord record = test::MakeRecord(1);
    record.state = state;
    return live_.View(record);
  }
  static Progress At(int64_t bytes) {
    Progress progress;
    progress.phase = Phase::kCopying;
    progress.bytes_done = bytes;
    return progress;
  }

  const BackupId id_ = test::MakeRecord(1).id;
  vmkeep::test::FakeClock clock_;
  LiveState live_{clock_};
  std::vector<BackupId> changed_;
  std::vector<BackupId> vm_changed_;
};

TEST_F(LiveStateTest, AViewIsTheRecordWithWhatIsKnownBesideIt) {
  EXPECT_FALSE(View().progress.has_value());
  live_.SetProgress(id_, At(5));
  live_.SetCondition(id_, "WAITING_FOR_SLOT", "two before it");
  const BackupView view = View();
  EXPECT_EQ(view.record.id, id_);
  EXPECT_EQ(view.progress, At(5));
  EXPECT_THAT(view.conditions,
              ElementsAre(Condition{"WAITING_FOR_SLOT", "two before it", clock_.Now()}));
}

TEST_F(LiveStateTest, AConditionKeepsItsBeginWhileItsTextChanges) {
  const absl::Time begin = clock_.Now();
  live_.SetCondition(id_, "WAITING_FOR_SLOT", "two before it");
  clock_.Advance(absl::Minutes(1));
  live_.SetCondition(id_, "WAITING_FOR_SLOT", "one before it");
  EXPECT_THAT(View().conditions,
              ElementsAre(Condition{"WAITING_FOR_SLOT", "one before it", begin}));
  live_.ClearCondition(id_, "WAITING_FOR_SLOT");
  live_.SetCondition(id_, "WAITING_FOR_SLOT", "again");
  EXPECT_THAT(View().conditions, ElementsAre(Condition{"WAITING_FOR_SLOT", "again", clock_.Now()}));
}

TEST_F(LiveStateTest, ForgettingLeavesNothing) {
  live_.SetProgress(id_, At(5));
  live_.SetCondition(id_, "HOST_UNREACHABLE", "call it");
  live_.Forget(id_);
  EXPECT_FALSE(View().progress.has_value());
  EXPECT_THAT(View().conditions, IsEmpty());
}

// The record is committed a moment before its live state is forgotten.
TEST_F(LiveStateTest, WorkThatIsOverShowsNoProgress) {
  live_.SetProgress(id_, At(5));
  EXPECT_TRUE(View(BackupState::kScrubbing).progress.has_value());
  for (const BackupState state :
       {BackupState::kRunning, BackupState::kUnresourced, BackupState::kClosed}) {
    EXPECT_FALSE(View(state).progress.has_value());
  }
}

// Red when Forget() takes them along: the VM does not leave its overlay because the work ended.
TEST_F(LiveStateTest, WhatIsTheCaseOfTheVmOutlivesTheWorkUntilItIsSaidAnew) {
  const Condition on_overlay{"VM_ON_OVERLAY", "merge it", clock_.Now()};
  live_.SetCondition(id_, "HOST_UNREACHABLE", "call it");
  live_.SetVmConditions({{id_, on_overlay}});
  live_.SetVmConditions({{id_, on_overlay}});
  EXPECT_EQ(View().conditions.size(), 2u);
  live_.Forget(id_);
  EXPECT_THAT(View(BackupState::kUnresourced).conditions, ElementsAre(on_overlay));
  EXPECT_THAT(View(BackupState::kClosed).conditions, IsEmpty()) << "it is gone";
  EXPECT_EQ(live_.CountConditions()["VM_ON_OVERLAY"], 1);
  live_.SetVmConditions({});
  EXPECT_THAT(View(BackupState::kUnresourced).conditions, IsEmpty());
  EXPECT_THAT(vm_changed_, ElementsAre(id_, id_));
}

TEST_F(LiveStateTest, TellsOfChangesAndOfNothingElse) {
  live_.SetProgress(id_, At(5));
  live_.SetProgress(id_, At(5));
  live_.SetProgress(id_, At(6));
  EXPECT_EQ(changed_.size(), 2u);
  live_.SetCondition(id_, "A", "x");
  live_.SetCondition(id_, "A", "x");
  EXPECT_EQ(changed_.size(), 3u);
  live_.ClearCondition(id_, "B");
  live_.ClearCondition("another", "A");
  EXPECT_EQ(changed_.size(), 3u);
  live_.ClearCondition(id_, "A");
  live_.Forget(id_);
  live_.Forget(id_);
  EXPECT_THAT(changed_, ElementsAre(id_, id_, id_, id_, id_));
}

}  // namespace
}  // namespace vmkeep::controller
