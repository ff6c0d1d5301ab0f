#include "controller/domain/lifecycle.h"
#include "controller/progress/live_state.h"
#include "controller/progress/recorder.h"
#include "tests/contract/store/store_contract.h"

#include <array>
#include <future>
#include <thread>

// Old tries are fenced, and a cancel and a finish that meet are resolved, by what is in one commit
// of the store: so it holds for every store, or not at all.
namespace vmkeep::controller::test {
namespace {

using vmkeep::test::HasReason;
using vmkeep::test::IsOk;

class FencingContract : public StoreContract {
 protected:
  FencingContract() {
    HostRecord host = MakeHost("kvm-1");
    host.executor_id = "e-1";
    EXPECT_THAT(
        CommitAndWait(
            *store_,
            [host](StoreTransaction& transaction) -> absl::StatusOr<std::vector<BackupRecord>> {
              if (auto put = transaction.PutHost(host); !put.ok()) return put;
              return Records();
            }),
        IsOk());
    Put(MakeRecord(1));
  }

  Recorder MakeRecorder() { return {*store_, live_, clock_}; }

  template <typename Call>
  absl::StatusOr<BackupRecord> Wait(Call call) {
    std::promise<absl::StatusOr<Records>> answer;
    call([&](const absl::StatusOr<Records>& result) { answer.set_value(result); });
    absl::StatusOr<Records> records = answer.get_future().get();
    if (!records.ok()) return records.status();
    return records->front();
  }
  absl::StatusOr<BackupRecord> Begin(const BackupId& id) {
    Recorder recorder = MakeRecorder();
    return Wait([&](Recorder::Done done) {
      recorder.BeginTask(id, {1, "r", "why", 9, false}, std::move(done));
    });
  }
  absl::StatusOr<BackupRecord> Reject(const BackupId& id, int64_t epoch) {
    Recorder recorder = MakeRecorder();
    Failure failure;
    failure.reason = "TEST";
    failure.retryable = true;
    return Wait(
        [&](Recorder::Done done) { recorder.RejectTask(id, epoch, failure, std::move(done)); });
  }
  absl::StatusOr<int64_t> Apply(const BackupId& id, const TaskRef& task,
                                decltype(ExecutorEvent::body) body) {
    Recorder recorder = MakeRecorder();
    ExecutorEvent event;
    event.sequence = ++sequence_;
    event.task = task;
    event.backup_id = id;
    event.body = std::move(body);
    std::promise<absl::StatusOr<int64_t>> answer;
    recorder.ApplyEvents("kvm-1", "e-1", {event},
                         [&](const absl::StatusOr<int64_t>& last) { answer.set_value(last); });
    return answer.get_future().get();
  }
  absl::StatusOr<BackupRecord> Cancel(const BackupId& id) {
    auto changed =
        CommitAndWait(*store_, [id](StoreTransaction& transaction) -> absl::StatusOr<Records> {
          auto record = transaction.Get(kAnyProject, id);
          if (!record.ok()) return record.status();
          auto next = RequestScrub(record->value());
          if (!next.ok()) return next.status();
          auto put = transaction.Put(*next);
          if (!put.ok()) return put.status();
          return Records{*std::move(put)};
        });
    if (!changed.ok()) return changed.status();
    return changed->front();
  }
  static TaskEnded Finished() {
    TaskEnded ended;
    ended.outcome = Outcome::kDone;
    ended.backup.emplace().manifest_sha256 = "sha";
    return ended;
  }

  const BackupId id_ = MakeRecord(1).id;
  LiveState live_{clock_};
  int64_t sequence_ = 0;
};

// Red when IsCurrent() does not compare the epoch, or the task; when RejectTask() does not compare
// the epoch.
TEST_P(FencingContract, AnOldTryChangesNothingWheneverItComes) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const BackupRecord first, Begin(id_));
  ASSERT_THAT(Reject(id_, first.epoch), IsOk());
  VMKEEP_ASSERT_OK_AND_ASSIGN(const BackupRecord second, Begin(id_));
  ASSERT_EQ(second.epoch, first.epoch + 1);
  ASSERT_NE(second.task_id, first.task_id);
  for (int starts = 0; starts < 2; ++starts, Reopen()) {
    for (const TaskRef& old :
         {TaskRef{first.task_id, first.epoch}, TaskRef{first.task_id, second.epoch},
          TaskRef{second.task_id, first.epoch}}) {
      EXPECT_THAT(Apply(id_, old, StepDone{"snapshot", "", clock_.Now()}), IsOk());
      EXPECT_THAT(Apply(id_, old, Finished()), IsOk()) << "acknowledged, so that it ends";
      EXPECT_EQ(Get(id_), second) << old.task_id << "." << old.epoch;
    }
    EXPECT_THAT(Reject(id_, first.epoch), HasReason("STALE_TASK"));
    EXPECT_THAT(Begin(id_), HasReason("STALE_TASK")) << "a task is open";
    EXPECT_EQ(Get(id_), second);
  }
  EXPECT_THAT(Apply(id_, {second.task_id, second.epoch}, Finished()), IsOk());
  EXPECT_EQ(Get(id_)->state, BackupState::kRunning);
  EXPECT_EQ(Get(id_)->epoch, second.epoch);
}

// Whichever comes first: the backup is to go, and that it has files is known. Red when EndBackup()
// makes RUNNING of a record whose SCRUB was asked for, or forgets the files of one that was
// cancelled: both orders are met in most runs, and asked for by themselves below.
TEST_P(FencingContract, ACancelAndAFinishMeetInOneOrderOrTheOther) {
  int cancel_first = 0;
  for (int round = 2; round < 52; ++round) {
    const BackupId id = MakeRecord(round).id;
    Put(MakeRecord(round));
    VMKEEP_ASSERT_OK_AND_ASSIGN(const BackupRecord begun, Begin(id));
    const TaskRef task{begun.task_id, begun.epoch};
    if (round < 4) {  // surely one order, then surely the other
      if (round == 2) {
        EXPECT_THAT(Cancel(id), IsOk());
      }
      EXPECT_THAT(Apply(id, task, Finished()), IsOk());
      if (round == 3) {
        EXPECT_THAT(Cancel(id), IsOk());
      }
    } else {
      std::thread finish([&] { EXPECT_THAT(Apply(id, task, Finished()), IsOk()); });
      VMKEEP_ASSERT_OK_AND_ASSIGN(const BackupRecord cancelled, Cancel(id));
      cancel_first += cancelled.task_open ? 1 : 0;
      finish.join();
    }
    const BackupRecord ended = Get(id).value();
    EXPECT_EQ(ended.state, BackupState::kScrub) << "round " << round;
    EXPECT_FALSE(ended.task_open);
    EXPECT_EQ(NeedOf(ended), Need::kScrubTask);
    EXPECT_EQ(ended.repository_id, "r") << "where its files are";
  }
  RecordProperty("cancel_first", cancel_first);
}

INSTANTIATE_TEST_SUITE_P(Stores, FencingContract, testing::Values(MemoryKind(), SqliteKind()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace vmkeep::controller::test
