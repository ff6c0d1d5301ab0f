#include "executor/task/event_log.h"

#include "tests/fakes/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace vmkeep::executor {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::vmkeep::test::HasReason;
using ::vmkeep::test::IsOk;
using ::vmkeep::v1::Progress;

class EventLogTest : public ::testing::Test {
 protected:
  EventLogTest() {
    auto opened = Journal::Open(folder_.path(), clock_);
    EXPECT_THAT(opened, IsOk());
    journal_ = *std::move(opened);
    log_ = std::make_unique<EventLog>(*journal_, clock_);
    for (int i = 0; i < 2; ++i) {
      TaskRecord& record = i == 0 ? one_ : two_;
      record.task = {"task-" + std::to_string(i), 1};
      record.backup_id = "backup-" + std::to_string(i);
      EXPECT_THAT(journal_->Accept(record, NewTask(record.kind)), IsOk());
    }
  }
  void Commit(const TaskRecord& record, const std::string& step) {
    v1::Event event = log_->NewEvent(record);
    event.mutable_step()->set_step(step);
    EXPECT_THAT(journal_->Save(record.task, NewTask(record.kind), {event}), IsOk());
    log_->Committed();
  }
  void Tell(const TaskRecord& record, int64_t bytes) {
    Progress progress;
    progress.set_bytes_done(bytes);
    log_->TellProgress(record, progress);
  }
  std::shared_ptr<EventLog::Subscription> Subscribe(int64_t after = 0) {
    auto subscription = log_->Subscribe(after, [this] { ++woken_; });
    EXPECT_THAT(subscription, IsOk());
    return *subscription;
  }
  std::vector<v1::Event> Next(EventLog::Subscription& subscription, int limit = 100) {
    auto events = subscription.Next(limit);
    EXPECT_THAT(events, IsOk());
    return *events;
  }

  vmkeep::test::TempDir folder_;
  vmkeep::test::FakeClock clock_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<EventLog> log_;
  TaskRecord one_;
  TaskRecord two_;
  int woken_ = 0;
};

TEST_F(EventLogTest, DurableEventsComeInOrderOnceAndInBatches) {
  Commit(one_, "preflight");
  const auto subscription = Subscribe();
  Commit(one_, "snapshot");
  Commit(two_, "preflight");
  EXPECT_EQ(woken_, 2);
  const auto first = Next(*subscription, 2);
  ASSERT_THAT(first, SizeIs(2));
  EXPECT_EQ(first[1].step().step(), "snapshot");
  EXPECT_EQ(first[1].backup_id(), "backup-0");
  EXPECT_TRUE(first[1].has_time());
  EXPECT_THAT(Next(*subscription, 2), SizeIs(1));
  EXPECT_THAT(Next(*subscription, 2), IsEmpty());
}

TEST_F(EventLogTest, SlowReaderGetsTheNewestProgressOfEachTask) {
  const auto subscription = Subscribe();
  for (int i = 1; i <= 1000; ++i) Tell(one_, i);
  Tell(two_, 7);
  for (int i = 0; i < 50; ++i) log_->TellInventoryChanged();
  const auto events = Next(*subscription);
  ASSERT_THAT(events, SizeIs(3));
  int64_t sum = 0;
  for (const v1::Event& event : events) {
    EXPECT_EQ(event.sequence(), 0);
    sum += event.progress().bytes_done();
  }
  EXPECT_EQ(sum, 1007);
}

TEST_F(EventLogTest, NoProgressOfATaskComesAfterItsEnd) {
  const auto subscription = Subscribe();
  Tell(one_, 1);
  Tell(two_, 2);
  log_->DropProgress(one_);
  Commit(one_, "the end");
  const auto events = Next(*subscription);
  ASSERT_THAT(events, SizeIs(2));
  EXPECT_EQ(events[0].step().step(), "the end");
  EXPECT_EQ(events[1].backup_id(), "backup-1");
}

TEST_F(EventLogTest, EachSubscriptionStartsWhereItAsks) {
  Commit(one_, "a");
  Commit(one_, "b");
  EXPECT_THAT(Next(*Subscribe(1)), SizeIs(1));
  EXPECT_THAT(Next(*Subscribe(2)), IsEmpty());
  EXPECT_THAT(log_->Subscribe(3, [] {}), HasReason("SEQUENCE_UNKNOWN"));
}

TEST_F(EventLogTest, GoneSubscriptionIsNotWoken) {
  Subscribe().reset();
  Commit(one_, "a");
  Tell(one_, 1);
  EXPECT_EQ(woken_, 0);
}

}  // namespace
}  // namespace vmkeep::executor
