#include "common/status_macros.h"
#include "controller/progress/watch_hub.h"
#include "controller/store/sqlite/sqlite_backup_store.h"
#include "tests/contract/store/sample_records.h"
#include "tests/fakes/fake_clock.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/progress/watch_taker.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace vmkeep::controller {
namespace {

constexpr int kPublishers = 4;
constexpr int kBackups = 60;
constexpr int kRounds = 150;

// Many publish, many watch, some of them slowly, from the beginning, in the middle and by resuming
// again and again; the buffers are so small that they overflow. Publishing never waits for a
// watcher, and every watcher ends with the newest of each backup. Seen red when an overflow
// is not read again, when a chunk is not cut at what was published, when nothing is gathered while
// it reads, and when an item's revision is the last published one. What is lost while a chunk is
// under way is too rare here: buffered_watcher_test.cc plays it.
class WatchStressTest : public testing::Test {
 protected:
  using WatchTaker = test::WatchTaker;
  using Newest = std::map<BackupId, int64_t>;

  WatchStressTest() : store_(*SqliteBackupStore::Open(folder_.path("db"), clock_)) {
    hub_ = MakeWatchHub(*store_, live_, {.buffered_changes = 7, .rows_per_read = 5});
    store_->SetObserver(
        [this](const std::vector<BackupRecord>& records) { hub_->PublishCommitted(records); });
    live_.OnChange([this](const BackupId& id, LiveState::About) { hub_->PublishLive(id); });
  }

  void Publish(int publisher) {
    std::mt19937_64 random(publisher);
    for (int round = 0; round < kRounds; ++round) {
      std::vector<BackupRecord> records;
      for (int i = 0; i < 3; ++i) {
        BackupRecord record = test::MakeRecord(static_cast<int>(random() % kBackups));
        record.state = random() % 2 == 0 ? BackupState::kBuilding : BackupState::kRunning;
        record.epoch = round;
        records.push_back(record);
      }
      store_->Commit(test::Putting(records), [](const auto& result) { ASSERT_TRUE(result.ok()); });
      Progress progress;
      progress.bytes_done = round;
      live_.SetProgress(test::Uuid(static_cast<int>(random() % kBackups)), progress);
      if (round % 10 == 0) {
        ASSERT_TRUE(CommitAndWait(*store_, test::Putting({})).ok());
      }
    }
  }

  // Takes until the end marker came; `breaks`: drops the stream after so many items and resumes it
  // from the last item's revision.
  Newest Watch(int breaks, bool slow) {
    Newest newest;
    WatchHub::Request request;
    request.project = "local";
    while (true) {
      WatchTaker taker(*hub_, request);
      for (int taken = 0; breaks == 0 || taken < breaks; ++taken) {
        const std::optional<Watcher::Item> item = taker.Take();
        if (!item) return newest;
        if (item->revision > 0) request.after_revision = item->revision;
        if (!item->view) continue;
        if (item->view->record.id == kEnd) return newest;
        int64_t& known = newest[item->view->record.id];
        EXPECT_GE(item->view->record.revision, breaks == 0 ? known : 0) << "went back";
        known = item->view->record.revision;
        if (slow) std::this_thread::yield();
      }
      // A stream that breaks before its snapshot is complete begins anew; give it a longer life
      // each time.
      if (breaks > 0) ++breaks;
    }
  }

  const BackupId kEnd = test::Uuid(kBackups + 1);
  vmkeep::test::TempDir folder_;
  vmkeep::test::FakeClock clock_;
  LiveState live_{clock_};
  std::unique_ptr<WatchHub> hub_;
  std::unique_ptr<SqliteBackupStore> store_;
};

TEST_F(WatchStressTest, EveryWatcherEndsWithTheNewestOfEach) {
  const std::vector<std::pair<int, bool>> kinds = {{0, false}, {0, true}, {0, true},
                                                   {5, false}, {9, true}, {40, false}};
  std::vector<Newest> seen(kinds.size());
  std::vector<std::thread> watchers;
  for (size_t i = 0; i < kinds.size(); ++i) {
    watchers.emplace_back([&, i] { seen[i] = Watch(kinds[i].first, kinds[i].second); });
  }
  // One that never takes anything.
  WatchHub::Request all;
  all.project = "local";
  const std::shared_ptr<Watcher> asleep = hub_->Watch(all, [] {});

  std::vector<std::thread> publishers;
  for (int i = 0; i < kPublishers; ++i) publishers.emplace_back([this, i] { Publish(i); });
  for (std::thread& publisher : publishers) publisher.join();

  BackupRecord end = test::MakeRecord(kBackups + 1);
  ASSERT_TRUE(test::PutNow(*store_, end).ok());
  for (std::thread& watcher : watchers) watcher.join();

  Newest expected;
  ASSERT_TRUE(ReadAndWait(*store_, [&](StoreView& view) -> absl::Status {
                VMKEEP_ASSIGN_OR_RETURN(const auto records, view.ChangedSince("local", 0, 1000));
                for (const BackupRecord& record : records) {
                  if (record.id != kEnd) expected[record.id] = record.revision;
                }
                return absl::OkStatus();
              }).ok());
  for (size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], expected) << "watcher " << i;
  EXPECT_EQ(expected.size(), static_cast<size_t>(kBackups));
}

}  // namespace
}  // namespace vmkeep::controller
