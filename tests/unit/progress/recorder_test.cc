#include "tests/unit/progress/recorder_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmkeep::controller::test {
namespace {

using vmkeep::test::IsOk;
using vmkeep::test::IsOkAndHolds;

TEST_F(RecorderTest, EventsAndTheirAcknowledgementAreOneCommit) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const BackupRecord record, Begin());
  const int64_t commits = store_->stats().commits;
  StepDone snapshot{"snapshot", "", clock_.Now()};
  EXPECT_THAT(Apply({Event(record, 7, snapshot), Event(record, 8, StepDone{"copy", "vda", {}}),
                     Event(record, 9, Done())}),
              IsOkAndHolds(9));
  EXPECT_EQ(store_->stats().commits, commits + 1);
  EXPECT_EQ(Acknowledged(), 9);
  EXPECT_EQ(Get().state, BackupState::kRunning);
  EXPECT_EQ(Get().manifest_sha256, "sha");
}

TEST_F(RecorderTest, OldNewsIsAcknowledgedAndChangesNothing) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(BackupRecord record, Begin());
  ExecutorEvent old_epoch = Event(record, 1, Done());
  old_epoch.task.epoch = 0;
  ExecutorEvent unknown = Event(record, 2, Done());
  unknown.backup_id = "another";
  EXPECT_THAT(Apply({old_epoch, unknown}), IsOkAndHolds(2));
  EXPECT_EQ(Get(), record);
  EXPECT_EQ(Acknowledged(), 2);
  // The same batch again, as after a lost answer.
  EXPECT_THAT(Apply({Event(record, 3, Done())}), IsOkAndHolds(3));
  const BackupRecord running = Get();
  EXPECT_THAT(Apply({Event(record, 3, Done())}), IsOkAndHolds(3));
  EXPECT_EQ(Get(), running);
}

TEST_F(RecorderTest, AnotherHostHasNoSay) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const BackupRecord record, Begin());
  EXPECT_THAT(Apply({Event(record, 1, Done())}, "kvm-2", "e-2"), IsOkAndHolds(1));
  EXPECT_EQ(Get(), record);
}

TEST_F(RecorderTest, ProgressIsKeptInMemoryAndWritesNothing) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const BackupRecord record, Begin());
  const int64_t mutations = store_->stats().mutations;
  EXPECT_THAT(Apply({Event(record, 0, At(5)), Event(record, 0, At(6))}), IsOkAndHolds(0));
  EXPECT_EQ(store_->stats().mutations, mutations);
  EXPECT_EQ(BytesDone(), 6);
  EXPECT_EQ(Get(), record);
  EXPECT_THAT(Apply({Event(record, 1, Done())}), IsOk());
  EXPECT_EQ(BytesDone(), -1);
}

TEST_F(RecorderTest, ProgressOfAnotherTryIsDropped) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const BackupRecord record, Begin());
  ExecutorEvent old = Event(record, 0, At(5));
  old.task.epoch = 0;
  EXPECT_THAT(Apply({old}), IsOk());
  EXPECT_EQ(BytesDone(), -1);
  ExecutorEvent late = Event(record, 0, At(7));
  EXPECT_THAT(Apply({Event(record, 1, Done())}), IsOk());
  EXPECT_THAT(Apply({late}), IsOk());
  ASSERT_THAT(CommitAndWait(*store_, Putting({})),
              IsOk());  // after the look-up that it may have caused
  EXPECT_THAT(Apply({late}), IsOk());
  BackupRecord as_if_building = Get();
  as_if_building.state = BackupState::kBuilding;
  EXPECT_FALSE(live_.View(as_if_building).progress.has_value());
}

TEST_F(RecorderTest, AfterAStartProgressIsTakenUpAgain) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const BackupRecord record, Begin());
  recorder_ = std::make_unique<Recorder>(*store_, live_, clock_);
  EXPECT_THAT(Apply({Event(record, 0, At(5))}), IsOk());  // unknown: looked up
  ASSERT_THAT(CommitAndWait(*store_, Putting({})), IsOk());
  EXPECT_THAT(Apply({Event(record, 0, At(6))}), IsOk());
  EXPECT_EQ(BytesDone(), 6);
}

}  // namespace
}  // namespace vmkeep::controller::test
