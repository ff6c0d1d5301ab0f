#include "controller/progress/recorder.h"

#include "common/uuid.h"
#include "controller/domain/lifecycle.h"
#include "controller/store/sqlite/sqlite_backup_store.h"
#include "tests/contract/store/sample_records.h"
#include "tests/fakes/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::controller {
namespace {

using ::testing::Field;
using vmkeep::test::FakeClock;
using vmkeep::test::HasReason;
using vmkeep::test::IsOk;
using vmkeep::test::IsOkAndHolds;

using Records = std::vector<BackupRecord>;

class RecorderTest : public testing::Test {
 protected:
  RecorderTest() : store_(*SqliteBackupStore::Open(folder_.path("db"), clock_)) {
    EXPECT_THAT(
        CommitAndWait(*store_,
                      [](StoreTransaction& transaction) -> absl::StatusOr<Records> {
                        VMKEEP_RETURN_IF_ERROR(transaction.PutHost(test::MakeHost("kvm-1")));
                        return Records();
                      }),
        IsOk());
    EXPECT_THAT(test::PutNow(*store_, test::MakeRecord(1)), IsOk());
  }

  // Runs a call of the recorder and waits for its answer.
  template <typename Call>
  absl::StatusOr<BackupRecord> Wait(Call call) {
    std::promise<absl::StatusOr<Records>> answer;
    call([&](const absl::StatusOr<Records>& result) { answer.set_value(result); });
    absl::StatusOr<Records> records = answer.get_future().get();
    if (!records.ok()) return records.status();
    EXPECT_EQ(records->size(), 1u);
    return records->front();
  }
  absl::StatusOr<BackupRecord> Begin(bool scrub = false) {
    return Wait([&](Recorder::Done done) {
      recorder_->BeginTask(id_, {1, "r", "why", 9, scrub}, std::move(done));
    });
  }
  absl::StatusOr<int64_t> Apply(std::vector<ExecutorEvent> events, const HostId& host = "kvm-1") {
    std::promise<absl::StatusOr<int64_t>> answer;
    recorder_->ApplyEvents(host, std::move(events),
                           [&](absl::StatusOr<int64_t> last) { answer.set_value(last); });
    return answer.get_future().get();
  }
  BackupRecord Get() {
    BackupRecord record;
    EXPECT_THAT(ReadAndWait(*store_,
                            [&](StoreView& view) -> absl::Status {
                              VMKEEP_ASSIGN_OR_RETURN(auto found, view.Get("local", id_));
                              record = found.value();
                              return absl::OkStatus();
                            }),
                IsOk());
    return record;
  }
  int64_t Acknowledged() {
    int64_t sequence = -1;
    EXPECT_THAT(ReadAndWait(*store_,
                            [&](StoreView& view) -> absl::Status {
                              VMKEEP_ASSIGN_OR_RETURN(auto hosts, view.ListHosts());
                              sequence = hosts.front().acknowledged_sequence;
                              return absl::OkStatus();
                            }),
                IsOk());
    return sequence;
  }
  static ExecutorEvent Event(const BackupRecord& record, int64_t sequence,
                             decltype(ExecutorEvent::body) body) {
    ExecutorEvent event;
    event.sequence = sequence;
    event.task = {record.task_id, record.epoch};
    event.backup_id = record.id;
    event.body = std::move(body);
    return event;
  }
  static TaskProgress At(int64_t bytes) {
    TaskProgress progress;
    progress.progress.bytes_done = bytes;
    return progress;
  }
  static TaskEnded Done() {
    TaskEnded ended;
    ended.outcome = Outcome::kDone;
    ended.backup.emplace().manifest_sha256 = "sha";
    return ended;
  }
  int64_t BytesDone() {
    const std::optional<Progress> progress = live_.View(Get()).progress;
    return progress ? progress->bytes_done : -1;
  }

  const BackupId id_ = test::MakeRecord(1).id;
  vmkeep::test::TempDir folder_;
  FakeClock clock_;
  std::unique_ptr<SqliteBackupStore> store_;
  LiveState live_{clock_};
  std::unique_ptr<Recorder> recorder_ = std::make_unique<Recorder>(*store_, live_, clock_);
};

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
  ASSERT_THAT(test::PutNow(*store_, scrub), IsOk());
  EXPECT_THAT(Begin(/*scrub=*/false), HasReason("STALE_TASK"));
  EXPECT_THAT(Begin(/*scrub=*/true),
              IsOkAndHolds(Field(&BackupRecord::state, BackupState::kScrubbing)));
}

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
  EXPECT_THAT(Apply({Event(record, 1, Done())}, "kvm-2"), IsOkAndHolds(1));
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
  ASSERT_THAT(CommitAndWait(*store_, test::Putting({})),
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
  ASSERT_THAT(CommitAndWait(*store_, test::Putting({})), IsOk());
  EXPECT_THAT(Apply({Event(record, 0, At(6))}), IsOk());
  EXPECT_EQ(BytesDone(), 6);
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
  ASSERT_THAT(test::PutNow(*store_, *RequestScrub(Get())), IsOk());
  EXPECT_THAT(close(), IsOkAndHolds(Field(&BackupRecord::state, BackupState::kClosed)));
}

TEST_F(RecorderTest, SaysWhenThereIsNoSuchBackup) {
  EXPECT_THAT(
      Wait([&](Recorder::Done done) { recorder_->CloseWithoutTask("nowhere", std::move(done)); }),
      HasReason("BACKUP_NOT_FOUND"));
}

}  // namespace
}  // namespace vmkeep::controller
