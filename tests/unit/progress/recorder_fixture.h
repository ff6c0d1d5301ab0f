#ifndef VMKEEP_TESTS_UNIT_PROGRESS_RECORDER_FIXTURE_H_
#define VMKEEP_TESTS_UNIT_PROGRESS_RECORDER_FIXTURE_H_

#include "controller/progress/recorder.h"
#include "controller/store/sqlite/sqlite_backup_store.h"
#include "tests/contract/store/sample_records.h"
#include "tests/fakes/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::controller::test {

// A recorder on a store of its own, with hosts kvm-1 and kvm-2, whose executors are e-1 and e-2,
// and REQUESTED backup 1 of kvm-1.
class RecorderTest : public testing::Test {
 protected:
  RecorderTest() : store_(*SqliteBackupStore::Open(folder_.path("db"), clock_)) {
    EXPECT_THAT(CommitAndWait(
                    *store_,
                    [](StoreTransaction& transaction) -> absl::StatusOr<std::vector<BackupRecord>> {
                      for (const std::string number : {"1", "2"}) {
                        HostRecord host = MakeHost("kvm-" + number);
                        host.executor_id = "e-" + number;
                        VMKEEP_RETURN_IF_ERROR(transaction.PutHost(host));
                      }
                      return std::vector<BackupRecord>();
                    }),
                vmkeep::test::IsOk());
    EXPECT_THAT(PutNow(*store_, MakeRecord(1)), vmkeep::test::IsOk());
  }

  // Runs a call of the recorder and waits for its answer.
  template <typename Call>
  absl::StatusOr<BackupRecord> Wait(Call call) {
    std::promise<absl::StatusOr<std::vector<BackupRecord>>> answer;
    call(
        [&](const absl::StatusOr<std::vector<BackupRecord>>& result) { answer.set_value(result); });
    absl::StatusOr<std::vector<BackupRecord>> records = answer.get_future().get();
    if (!records.ok()) return records.status();
    EXPECT_EQ(records->size(), 1u);
    return records->front();
  }
  absl::StatusOr<BackupRecord> Begin(bool scrub = false) {
    return Wait([&](Recorder::Done done) {
      recorder_->BeginTask(id_, {1, "r", "why", 9, scrub}, std::move(done));
    });
  }
  absl::StatusOr<int64_t> Apply(std::vector<ExecutorEvent> events, const HostId& host = "kvm-1",
                                const std::string& executor_id = "e-1") {
    std::promise<absl::StatusOr<int64_t>> answer;
    recorder_->ApplyEvents(host, executor_id, std::move(events),
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
                vmkeep::test::IsOk());
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
                vmkeep::test::IsOk());
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

  const BackupId id_ = MakeRecord(1).id;
  vmkeep::test::TempDir folder_;
  vmkeep::test::FakeClock clock_;
  std::unique_ptr<SqliteBackupStore> store_;
  LiveState live_{clock_};
  std::unique_ptr<Recorder> recorder_ = std::make_unique<Recorder>(*store_, live_, clock_);
};

}  // namespace vmkeep::controller::test

#endif  // VMKEEP_TESTS_UNIT_PROGRESS_RECORDER_FIXTURE_H_
