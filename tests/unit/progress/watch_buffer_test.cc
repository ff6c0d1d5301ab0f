#include "controller/progress/watch_buffer.h"

#include "tests/contract/store/sample_records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vmkeep::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;

SharedRecord Record(int number, int64_t revision) {
  BackupRecord record = test::MakeRecord(number);
  record.revision = revision;
  return std::make_shared<const BackupRecord>(record);
}

std::vector<int64_t> PopAll(WatchBuffer& buffer) {
  std::vector<int64_t> revisions;
  while (const SharedRecord record = buffer.Pop()) revisions.push_back(record->revision);
  return revisions;
}

TEST(WatchBufferTest, KeepsTheNewestInTheOrderOfFirstChange) {
  WatchBuffer buffer(10);
  EXPECT_TRUE(buffer.AddChange(Record(1, 5)));
  EXPECT_TRUE(buffer.AddChange(Record(2, 6)));
  EXPECT_TRUE(buffer.AddChange(Record(1, 7)));
  EXPECT_THAT(PopAll(buffer), ElementsAre(7, 6));
  EXPECT_TRUE(buffer.empty());
}

// Record 1 changed at 5 and 9, record 2 at 6. Whoever has taken 9 but not 6 must resume before 6.
TEST(WatchBufferTest, TheOldestChangeIsTheLowestRevisionNotTheFirstInLine) {
  WatchBuffer buffer(10);
  buffer.AddChange(Record(1, 5));
  buffer.AddChange(Record(2, 6));
  buffer.AddChange(Record(1, 9));
  EXPECT_THAT(buffer.OldestChange(), Optional(6));
  EXPECT_EQ(buffer.Pop()->revision, 9);
  EXPECT_THAT(buffer.OldestChange(), Optional(6));
  buffer.Pop();
  EXPECT_EQ(buffer.OldestChange(), std::nullopt);
}

TEST(WatchBufferTest, IsFullOfDistinctBackupsOnly) {
  WatchBuffer buffer(2);
  EXPECT_TRUE(buffer.AddChange(Record(1, 1)));
  EXPECT_TRUE(buffer.AddChange(Record(2, 2)));
  EXPECT_TRUE(buffer.AddChange(Record(1, 3)));
  EXPECT_FALSE(buffer.AddChange(Record(3, 4)));
  EXPECT_FALSE(buffer.contains(Record(3, 4)->id));
  buffer.Pop();
  EXPECT_TRUE(buffer.AddChange(Record(3, 5)));
}

TEST(WatchBufferTest, LiveChangesStayWhenChangesAreDropped) {
  WatchBuffer buffer(2);
  buffer.AddLive(Record(1, 1));
  buffer.AddChange(Record(2, 2));
  buffer.AddLive(Record(2, 2));
  buffer.AddChange(Record(3, 3));
  buffer.DropChanges(2);
  EXPECT_THAT(buffer.OldestChange(), Optional(3));
  buffer.DropChanges();
  EXPECT_EQ(buffer.OldestChange(), std::nullopt);
  EXPECT_THAT(PopAll(buffer), ElementsAre(1, 2));
}

TEST(WatchBufferTest, ALiveChangeThatWaitsNeverBringsBackAnOlderRecord) {
  WatchBuffer buffer(1);
  buffer.AddChange(Record(1, 1));
  buffer.AddLive(Record(2, 2));
  EXPECT_FALSE(buffer.AddChange(Record(2, 3)));  // full
  buffer.DropChanges();
  EXPECT_THAT(PopAll(buffer), ElementsAre(3));
}

}  // namespace
}  // namespace vmkeep::controller
