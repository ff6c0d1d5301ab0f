#include "common/uuid.h"
#include "controller/domain/lifecycle.h"
#include "tests/unit/progress/recorder_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmkeep::controller::test {
namespace {

using ::testing::AllOf;
using ::testing::Field;
using vmkeep::test::HasReason;
using vmkeep::test::IsOk;
using vmkeep::test::IsOkAndHolds;
using vmkeep::test::StatusIs;

TEST_F(RecorderTest, ATaskBeginsInOneCommit) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const BackupRecord record, Begin());
  EXPECT_EQ(record.state, BackupState::kBuilding);
  EXPECT_EQ(record.epoch, 1);
  EXPECT_TRUE(IsUuid(record.task_id));
  EXPECT_EQ(record.placement_reason, "why");
  EXPECT_EQ(Get(), record);
  EXPECT_THAT(Begin(), HasReason("STALE_TASK"));  // it moved on
}

TEST_F(RecorderTest, ScrubAndBackupAreNotMistakenForEachOther) {
  EXPECT_THAT(Begin(/*scrub=*/true), HasReason("STALE_TASK"));
  BackupRecord scrub = Get();
  scrub.state = BackupState::kScrub;
  scrub.files_may_exist = true;
  ASSERT_THAT(PutNow(*store_, scrub), IsOk());
  EXPECT_THAT(Begin(/*scrub=*/false), HasReason("STALE_TASK"));
  EXPECT_THAT(Begin(/*scrub=*/true),
              IsOkAndHolds(Field(&BackupRecord::state, BackupState::kScrubbing)));
}

TEST_F(RecorderTest, ARefusalGoesBackToTheQueue) {
  ASSERT_THAT(Begin(), IsOk());
  Failure failure;
  failure.reason = "VM_BUSY";
  failure.retryable = true;
  const auto reject = [&](int64_t epoch) {
    return Wait(
        [&](Recorder::Done done) { recorder_->RejectTask(id_, epoch, failure, std::move(done)); });
  };
  EXPECT_THAT(reject(2), HasReason("STALE_TASK"));
  EXPECT_THAT(reject(1), IsOkAndHolds(Field(&BackupRecord::state, BackupState::kRequested)));
  EXPECT_EQ(Get().attempts, 1);
}

TEST_F(RecorderTest, AScrubWithoutFilesIsClosed) {
  const auto close = [&] {
    return Wait([&](Recorder::Done done) { recorder_->CloseWithoutTask(id_, std::move(done)); });
  };
  EXPECT_THAT(close(), HasReason("STALE_TASK"));
  ASSERT_THAT(PutNow(*store_, *RequestScrub(Get())), IsOk());
  EXPECT_THAT(close(), IsOkAndHolds(Field(&BackupRecord::state, BackupState::kClosed)));
}

TEST_F(RecorderTest, SaysWhenThereIsNoSuchBackup) {
  EXPECT_THAT(
      Wait([&](Recorder::Done done) { recorder_->CloseWithoutTask("nowhere", std::move(done)); }),
      HasReason("BACKUP_NOT_FOUND"));
}

// Its events come late, after another executor was confirmed for the host, or of a host that is not
// there any more: to count them would make the new executor's first events look known.
TEST_F(RecorderTest, AnExecutorThatIsNotThePinnedOneHasNoSayAndRaisesNoSequence) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const BackupRecord record, Begin());
  EXPECT_THAT(Apply({Event(record, 40, Done())}, "kvm-1", "e-old"),
              AllOf(StatusIs(absl::StatusCode::kAborted), HasReason("STALE_EXECUTOR")));
  EXPECT_EQ(Get(), record);
  EXPECT_EQ(Acknowledged(), 0);
  EXPECT_THAT(Apply({Event(record, 40, Done())}, "nowhere", "e-1"), HasReason("STALE_EXECUTOR"));
  EXPECT_THAT(Apply({Event(record, 1, Done())}), IsOk());
  EXPECT_EQ(Acknowledged(), 1);
}

}  // namespace
}  // namespace vmkeep::controller::test
