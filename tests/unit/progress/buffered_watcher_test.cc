#include "controller/progress/buffered_watcher.h"

#include "tests/contract/store/sample_records.h"
#include "tests/fakes/fake_clock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <vector>

// The orders of reading and publishing that threads meet too rarely: here each is played by hand.
namespace vmkeep::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class BufferedWatcherTest : public testing::Test {
 protected:
  void Watch(WatchLimits limits, int64_t published = 0) {
    WatchHub::Request request;
    request.project = "local";
    watcher_ = BufferedWatcher::Make(
        request, limits, live_, published,
        [this](const auto&, const BackupQuery& query) { reads_.push_back(*query.changed_after); },
        [] {});
    watcher_->Start();
  }
  static BackupRecord Record(int number, int64_t revision) {
    BackupRecord record = test::MakeRecord(number);
    record.revision = revision;
    return record;
  }
  void Publish(int number, int64_t revision) {
    watcher_->OfferChanges({std::make_shared<const BackupRecord>(Record(number, revision))},
                           revision);
  }
  // Revisions of what there is to take now; 0 for the end of the snapshot.
  std::vector<int64_t> Take() {
    std::vector<int64_t> revisions;
    while (std::optional<Watcher::Item> item = watcher_->Next()) {
      revisions.push_back(item->view ? item->view->record.revision : 0);
    }
    return revisions;
  }

  vmkeep::test::FakeClock clock_;
  LiveState live_{clock_};
  std::vector<int64_t> reads_;  // after which revision each chunk was asked for
  std::shared_ptr<BufferedWatcher> watcher_;
};

// The chunk was read before the buffer overflowed: it cannot have what the buffer lost, so one more
// is owed.
TEST_F(BufferedWatcherTest, WhatIsLostWhileAChunkIsUnderWayIsReadAfterIt) {
  Watch({.buffered_changes = 1, .rows_per_read = 10});
  Publish(1, 1);
  Publish(2, 2);  // no room
  watcher_->TakeRows({}, /*read_at=*/0, /*published=*/2);
  EXPECT_THAT(Take(), IsEmpty());
  EXPECT_THAT(reads_, ElementsAre(0, 0));
  watcher_->TakeRows({Record(1, 1), Record(2, 2)}, /*read_at=*/2, /*published=*/2);
  EXPECT_THAT(Take(), ElementsAre(1, 2, 0));
}

// Committed and read, but not published yet: told once, as the change that is still to come.
TEST_F(BufferedWatcherTest, AChunkEndsAtWhatWasPublished) {
  Watch({.buffered_changes = 10, .rows_per_read = 10});
  watcher_->TakeRows({Record(1, 1), Record(2, 2)}, /*read_at=*/2, /*published=*/1);
  EXPECT_THAT(Take(), ElementsAre(1, 0));
  Publish(2, 2);
  EXPECT_THAT(Take(), ElementsAre(2));
}

// Published while the chunk was under way, and in it: told once.
TEST_F(BufferedWatcherTest, WhatTheChunkHasIsNotToldAgain) {
  Watch({.buffered_changes = 10, .rows_per_read = 10});
  Publish(1, 1);
  watcher_->TakeRows({Record(1, 1)}, /*read_at=*/1, /*published=*/1);
  EXPECT_THAT(Take(), ElementsAre(1, 0));
}

TEST_F(BufferedWatcherTest, AfterAnOverflowItReadsFromWhatWasTaken) {
  Watch({.buffered_changes = 1, .rows_per_read = 10});
  watcher_->TakeRows({}, 0, 0);
  EXPECT_THAT(Take(), ElementsAre(0));
  Publish(1, 1);
  EXPECT_THAT(Take(), ElementsAre(1));
  Publish(2, 2);
  Publish(3, 3);  // no room: 2 and 3 are to be read
  EXPECT_EQ(watcher_->revision(), 1);
  EXPECT_THAT(Take(), IsEmpty());
  EXPECT_THAT(reads_, ElementsAre(0, 1));
  watcher_->TakeRows({Record(2, 2), Record(3, 3)}, 3, 3);
  EXPECT_THAT(Take(), ElementsAre(2, 3));
  EXPECT_EQ(watcher_->revision(), 3);
}

TEST_F(BufferedWatcherTest, TheNextChunkIsAskedForOnlyWhenTheLastIsTaken) {
  Watch({.buffered_changes = 10, .rows_per_read = 2}, /*published=*/3);
  watcher_->TakeRows({Record(1, 1), Record(2, 2)}, 3, 3);
  EXPECT_TRUE(watcher_->Next().has_value());
  EXPECT_THAT(reads_, ElementsAre(0));
  EXPECT_THAT(Take(), ElementsAre(2));
  EXPECT_THAT(reads_, ElementsAre(0, 2));
}

}  // namespace
}  // namespace vmkeep::controller
