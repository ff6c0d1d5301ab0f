#include "controller/progress/watch_hub.h"

#include "common/error.h"
#include "controller/store/sqlite/sqlite_backup_store.h"
#include "tests/contract/store/sample_records.h"
#include "tests/fakes/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/progress/watch_taker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace vmkeep::controller {
namespace {

using enum BackupState;
using test::Uuid;
using test::WatchTaker;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using vmkeep::test::FakeClock;
using vmkeep::test::HasReason;
using vmkeep::test::IsOk;

class WatchHubTest : public testing::Test {
 protected:
  WatchHubTest() : store_(*SqliteBackupStore::Open(folder_.path("db"), clock_)) { MakeHub({}); }

  void MakeHub(WatchLimits limits) {
    hub_ = MakeWatchHub(*store_, live_, limits);
    store_->SetObserver([hub = hub_.get()](const std::vector<BackupRecord>& records) {
      hub->PublishCommitted(records);
    });
    live_.OnChange([hub = hub_.get()](const BackupId& id, LiveState::About about) {
      about == LiveState::About::kVm ? hub->PublishVm(id) : hub->PublishLive(id);
    });
  }
  ~WatchHubTest() override { store_->SetObserver({}); }

  int64_t Put(int number, BackupState state = kRequested, Labels labels = {}) {
    BackupRecord record = test::MakeRecord(number);
    record.state = state;
    record.labels = std::move(labels);
    const absl::StatusOr<BackupRecord> put = test::PutNow(*store_, record);
    EXPECT_THAT(put, IsOk());
    return put->revision;
  }
  static WatchHub::Request All() {
    WatchHub::Request request;
    request.project = "local";
    return request;
  }
  // "3 RUNNING" for backup 3.
  static std::vector<std::string> Words(const std::vector<BackupView>& views) {
    std::vector<std::string> words;
    for (const BackupView& view : views) {
      words.push_back(
          absl::StrCat(std::stoi(view.record.id.substr(24)), " ", StateName(view.record.state)));
    }
    return words;
  }
  // What comes before a marker that is put now.
  std::vector<std::string> UntilMarker(WatchTaker& taker) {
    const int marker = --marker_;
    Put(marker, kRunning);
    std::vector<std::string> words = Words(
        taker.TakeUntil([&](const BackupView& view) { return view.record.id == Uuid(marker); }));
    words.pop_back();
    return words;
  }

  int marker_ = 900'000;
  vmkeep::test::TempDir folder_;
  FakeClock clock_;
  LiveState live_{clock_};
  std::unique_ptr<SqliteBackupStore> store_;
  std::unique_ptr<WatchHub> hub_;
};

TEST_F(WatchHubTest, FirstWhatIsThereThenWhatChanges) {
  Put(1);
  Put(2, kRunning);
  Put(3, kClosed);
  WatchTaker taker(*hub_, All());
  EXPECT_THAT(Words(taker.TakeSnapshot()), ElementsAre("1 REQUESTED", "2 RUNNING"));
  Put(1, kBuilding);
  Put(4);
  EXPECT_THAT(UntilMarker(taker), ElementsAre("1 BUILDING", "4 REQUESTED"));
}

TEST_F(WatchHubTest, AnEmptySnapshotIsCompleteToo) {
  WatchTaker taker(*hub_, All());
  EXPECT_THAT(taker.TakeSnapshot(), IsEmpty());
}

TEST_F(WatchHubTest, ASlowWatcherGetsTheNewest) {
  Put(1);
  WatchTaker taker(*hub_, All());
  taker.TakeSnapshot();
  Put(1, kBuilding);
  Put(2);
  Put(1, kRunning);
  EXPECT_THAT(UntilMarker(taker), ElementsAre("1 RUNNING", "2 REQUESTED"));
}

TEST_F(WatchHubTest, AnotherProjectHearsNothing) {
  WatchHub::Request theirs = All();
  theirs.project = "theirs";
  Put(1);
  WatchTaker taker(*hub_, theirs);
  EXPECT_THAT(taker.TakeSnapshot(), IsEmpty());
  Put(1, kBuilding);
  live_.SetCondition(Uuid(1), "HOST_UNREACHABLE", "secret");
  EXPECT_EQ(taker.watcher().Next(), std::nullopt);
}

TEST_F(WatchHubTest, ResumesWithoutGapAndWithTheClosedOnes) {
  Put(1);
  const int64_t seen = Put(2);
  Put(1, kClosed);
  Put(3);
  WatchHub::Request resume = All();
  resume.after_revision = seen;
  WatchTaker taker(*hub_, resume);
  EXPECT_THAT(Words(taker.TakeSnapshot()), ElementsAre("1 CLOSED", "3 REQUESTED"));
}

TEST_F(WatchHubTest, ARevisionThatNeverWasBeginsAnew) {
  const int64_t last = Put(1);
  for (const int64_t revision : {last + 1, int64_t{0}, int64_t{-4}}) {
    WatchHub::Request resume = All();
    resume.after_revision = revision;
    WatchTaker taker(*hub_, resume);
    EXPECT_THAT(Words(taker.TakeSnapshot()), ElementsAre("1 REQUESTED"));
  }
}

// Whatever item a stream breaks after, going on from its revision misses nothing: for each prefix
// of the stream, prefix and resumed stream together end with the newest of each backup.
TEST_F(WatchHubTest, EveryItemsRevisionIsAPlaceToGoOnFrom) {
  for (int i = 1; i <= 3; ++i) Put(i);
  WatchTaker taker(*hub_, All());
  std::vector<Watcher::Item> items;
  const auto take = [&] { items.push_back(*taker.Take()); };
  for (int i = 0; i < 4; ++i) take();  // the snapshot
  Put(1, kBuilding);
  Put(2, kBuilding);
  Put(1, kRunning);  // 1 is first in line with a higher revision than 2
  Put(4);
  Put(2, kScrub);
  for (int i = 0; i < 3; ++i) take();
  Put(3, kClosed);
  take();

  std::map<BackupId, int64_t> newest;
  for (const Watcher::Item& item : items) {
    if (item.view) newest[item.view->record.id] = item.view->record.revision;
  }
  EXPECT_EQ(newest.size(), 4u);
  for (size_t broken = 0; broken < items.size(); ++broken) {
    std::map<BackupId, int64_t> known;
    const int64_t revision = items[broken].revision;
    if (revision == 0) continue;  // begins anew
    for (size_t i = 0; i <= broken; ++i) {
      if (items[i].view) known[items[i].view->record.id] = items[i].view->record.revision;
    }
    WatchHub::Request resume = All();
    resume.after_revision = revision;
    for (const BackupView& view : WatchTaker(*hub_, resume).TakeSnapshot())
      known[view.record.id] = view.record.revision;
    EXPECT_EQ(known, newest) << "broken after item " << broken << ", revision " << revision;
  }
  EXPECT_EQ(items[0].revision, 0);
  EXPECT_GT(items[3].revision, 0);
}

TEST_F(WatchHubTest, AFullBufferIsReadFromTheStoreInstead) {
  MakeHub({.buffered_changes = 3, .rows_per_read = 2});
  for (int i = 1; i <= 5; ++i) Put(i);
  WatchTaker taker(*hub_, All());
  EXPECT_EQ(taker.TakeSnapshot().size(), 5u);
  for (int round = 0; round < 2; ++round) {
    for (int i = 1; i <= 20; ++i) Put(i, round == 0 ? kBuilding : kRunning);
  }
  std::map<int, std::string> newest;
  for (const std::string& words : UntilMarker(taker)) {
    const std::vector<std::string> parts = {words.substr(0, words.find(' ')),
                                            words.substr(words.find(' ') + 1)};
    newest[std::stoi(parts[0])] = parts[1];
  }
  EXPECT_EQ(newest.size(), 20u);
  for (const auto& [number, state] : newest) EXPECT_EQ(state, "RUNNING") << number;
}

TEST_F(WatchHubTest, ProgressAndConditionsReachTheWatcher) {
  Put(1, kBuilding);
  Put(2, kRunning);
  WatchTaker taker(*hub_, All());
  taker.TakeSnapshot();
  const auto next = [&] { return *taker.Take()->view; };
  Progress progress;
  progress.bytes_done = 7;
  live_.SetProgress(Uuid(1), progress);
  EXPECT_EQ(next().progress, progress);
  live_.SetCondition(Uuid(1), "HOST_UNREACHABLE", "call it");
  EXPECT_EQ(next().conditions.size(), 1u);
  const int64_t before = taker.watcher().revision();
  for (int i = 0; i < 100; ++i) {
    progress.bytes_done = i;
    live_.SetProgress(Uuid(1), progress);
  }
  EXPECT_EQ(next().progress->bytes_done, 99);
  EXPECT_THAT(UntilMarker(taker), IsEmpty());
  EXPECT_EQ(before + 1, taker.watcher().revision());  // the marker's; live changes advance nothing
}

// A hub that starts beside open records knows them without a new commit.
TEST_F(WatchHubTest, AfterAStartLiveChangesReachTheWatcher) {
  Put(1, kBuilding);
  MakeHub({});
  WatchTaker taker(*hub_, All());
  taker.TakeSnapshot();
  live_.SetCondition(Uuid(1), "HOST_UNREACHABLE", "call it");
  EXPECT_EQ(taker.Take()->view->conditions.size(), 1u);
}

TEST_F(WatchHubTest, WhatLeavesTheFilterIsToldOnce) {
  WatchHub::Request building = All();
  building.filter.states = {kBuilding};
  building.filter.labels = {{"tier", "gold"}};
  const Labels gold = {{"tier", "gold"}};
  Put(1, kBuilding, gold);
  Put(2, kBuilding);
  WatchTaker taker(*hub_, building);
  EXPECT_THAT(Words(taker.TakeSnapshot()), ElementsAre("1 BUILDING"));
  Put(3, kRequested, gold);
  Put(2, kRunning);
  Put(1, kRunning, gold);
  EXPECT_EQ(Words({*taker.Take()->view}).front(), "1 RUNNING");
  Put(1, kScrub, gold);
  Put(3, kBuilding, gold);
  EXPECT_EQ(Words({*taker.Take()->view}).front(), "3 BUILDING");
  Put(3, kBuilding, {{"tier", "silver"}});
  EXPECT_EQ(taker.Take()->view->record.labels.at("tier"), "silver");
  Put(3, kRunning, {{"tier", "silver"}});
  EXPECT_EQ(taker.watcher().Next(), std::nullopt);
}

TEST_F(WatchHubTest, AResumeTellsWhatLeftTheFilterMeanwhile) {
  WatchHub::Request building = All();
  building.filter.states = {kBuilding};
  building.after_revision = Put(1, kBuilding);
  Put(1, kRunning);
  WatchTaker taker(*hub_, building);
  EXPECT_THAT(Words(taker.TakeSnapshot()), ElementsAre("1 RUNNING"));
}

TEST_F(WatchHubTest, EndsWhenAllIsSettled) {
  Put(1);
  Put(2, kRunning);
  Put(3);
  WatchHub::Request request = All();
  request.filter.ids = {Uuid(1), Uuid(2)};
  request.until_settled = true;
  WatchTaker taker(*hub_, request);
  taker.TakeSnapshot();
  EXPECT_FALSE(taker.watcher().finished());
  Put(1, kBuilding);
  EXPECT_EQ(Words({*taker.Take()->view}).front(), "1 BUILDING");
  EXPECT_FALSE(taker.watcher().finished());
  Put(1, kRunning);
  EXPECT_FALSE(taker.watcher().finished());  // it is not told yet
  EXPECT_EQ(Words({*taker.Take()->view}).front(), "1 RUNNING");
  EXPECT_EQ(taker.Take(), std::nullopt);
  EXPECT_TRUE(taker.watcher().finished());
}

TEST_F(WatchHubTest, WaitsForAScrubThroughEveryStateEvenIfItLeavesTheFilter) {
  Put(1, kScrub);
  WatchHub::Request request = All();
  request.filter.states = {kScrub};
  request.until_settled = true;
  WatchTaker taker(*hub_, request);
  taker.TakeSnapshot();
  Put(1, kScrubbing);
  EXPECT_EQ(Words({*taker.Take()->view}).front(), "1 SCRUBBING");
  EXPECT_FALSE(taker.watcher().finished());
  Put(1, kClosed);
  EXPECT_EQ(Words({*taker.Take()->view}).front(), "1 CLOSED");
  EXPECT_EQ(taker.Take(), std::nullopt);
}

TEST_F(WatchHubTest, WithNothingToWaitForItEndsAtOnce) {
  WatchHub::Request request = All();
  request.until_settled = true;
  WatchTaker taker(*hub_, request);
  taker.TakeSnapshot();
  EXPECT_EQ(taker.Take(), std::nullopt);
  EXPECT_TRUE(taker.watcher().finished());
}

// Red when a resumed watch knows only of what it is told: it would end at once.
TEST_F(WatchHubTest, AResumedWatchUntilSettledWaitsForWhatItWasToldOfBefore) {
  Put(1, kBuilding);
  Put(2, kRunning);
  WatchHub::Request request = All();
  request.after_revision = Put(3, kBuilding, {{"tier", "gold"}});
  request.until_settled = true;
  request.filter.labels = {{"tier", "gold"}};
  WatchTaker taker(*hub_, request);
  EXPECT_THAT(taker.TakeSnapshot(), IsEmpty());
  EXPECT_FALSE(taker.watcher().finished());
  Put(3, kRunning);  // without its label by now
  EXPECT_EQ(Words({*taker.Take()->view}).front(), "3 RUNNING");
  EXPECT_EQ(taker.Take(), std::nullopt);
  EXPECT_TRUE(taker.watcher().finished());
}

// Red when only backups that the hub keeps, the unfinished ones, are told of.
TEST_F(WatchHubTest, TheConditionOfAVmIsToldOfASettledBackupToo) {
  Put(1, kUnresourced);
  WatchTaker taker(*hub_, All());
  taker.TakeSnapshot();
  const Condition on_overlay{"VM_ON_OVERLAY", "merge it", clock_.Now()};
  live_.SetVmConditions({{Uuid(1), on_overlay}, {Uuid(99), on_overlay}});
  const std::optional<Watcher::Item> came = taker.Take();
  EXPECT_THAT(came->view->conditions, ElementsAre(on_overlay));
  live_.SetVmConditions({});
  const std::optional<Watcher::Item> went = taker.Take();
  EXPECT_EQ(went->view->record.id, Uuid(1));
  EXPECT_THAT(went->view->conditions, IsEmpty());
}

TEST_F(WatchHubTest, ClosingDeliversTheRestAndSaysWhereToGoOn) {
  Put(1);
  WatchTaker taker(*hub_, All());
  taker.TakeSnapshot();
  const int64_t last = Put(1, kBuilding);
  hub_->Close();
  EXPECT_TRUE(taker.watcher().closed().has_value());
  EXPECT_EQ(Words({*taker.Take()->view}).front(), "1 BUILDING");
  EXPECT_EQ(taker.Take(), std::nullopt);
  const absl::Status closed = *taker.watcher().closed();
  EXPECT_THAT(closed, HasReason("DRAINING"));
  EXPECT_EQ(ErrorDetails(closed)["revision"], absl::StrCat(last));

  WatchTaker refused(*hub_, All());
  EXPECT_EQ(refused.Take(), std::nullopt);
  EXPECT_THAT(*refused.watcher().closed(), HasReason("DRAINING"));
}

TEST_F(WatchHubTest, AWatcherMayOutliveTheHub) {
  Put(1);
  WatchTaker taker(*hub_, All());
  live_.OnChange({});
  store_->SetObserver({});
  hub_.reset();
  while (taker.Take()) continue;
  EXPECT_THAT(*taker.watcher().closed(), HasReason("DRAINING"));
}

TEST_F(WatchHubTest, LargeSnapshotsComeInChunks) {
  MakeHub({.buffered_changes = 1000, .rows_per_read = 3});
  std::vector<BackupRecord> records;
  for (int i = 1; i <= 10; ++i) records.push_back(test::MakeRecord(i));
  ASSERT_THAT(CommitAndWait(*store_, test::Putting(records)), IsOk());
  WatchTaker taker(*hub_, All());
  std::vector<std::string> words = {Words({*taker.Take()->view}).front()};
  Put(2, kBuilding);  // read already: comes again
  Put(9, kRunning);   // not read yet: moves to the end of what is read, or comes as a change
  while (std::optional<Watcher::Item> item = taker.Take()) {
    if (item->snapshot_complete) break;
    words.push_back(Words({*item->view}).front());
  }
  for (const std::string& more : UntilMarker(taker)) words.push_back(more);
  for (int i = 1; i <= 10; ++i) {
    const std::string expected = absl::StrCat(i, i == 2   ? " BUILDING"
                                                 : i == 9 ? " RUNNING"
                                                          : " REQUESTED");
    EXPECT_THAT(words, testing::Contains(expected));
  }
}

}  // namespace
}  // namespace vmkeep::controller
