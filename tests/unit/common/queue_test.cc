#include "common/queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

namespace vmkeep {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;

TEST(QueueTest, FirstInFirstOut) {
  Queue<int> queue;
  EXPECT_TRUE(queue.Push(1));
  EXPECT_TRUE(queue.Push(2));
  EXPECT_TRUE(queue.Push(3));
  EXPECT_THAT(queue.Pop(), Optional(1));
  EXPECT_THAT(queue.PopAll(), ElementsAre(2, 3));
  EXPECT_EQ(queue.TryPop(), std::nullopt);
}

TEST(QueueTest, GivesUpAfterTheTimeout) {
  Queue<int> queue;
  EXPECT_EQ(queue.Pop(absl::Milliseconds(1)), std::nullopt);
  EXPECT_FALSE(queue.closed());
}

TEST(QueueTest, ClosedItGivesWhatItHasAndTakesNoMore) {
  Queue<std::unique_ptr<int>> queue;
  queue.Push(std::make_unique<int>(1));
  queue.Close();
  EXPECT_FALSE(queue.Push(std::make_unique<int>(2)));
  EXPECT_EQ(**queue.Pop(), 1);
  EXPECT_EQ(queue.Pop(), std::nullopt);
  EXPECT_TRUE(queue.PopAll().empty());
}

TEST(QueueTest, ClosingWakesWhoeverWaits) {
  Queue<int> queue;
  std::thread pop([&] { EXPECT_EQ(queue.Pop(), std::nullopt); });
  std::thread pop_all([&] { EXPECT_TRUE(queue.PopAll().empty()); });
  queue.Close();
  pop.join();
  pop_all.join();
}

TEST(QueueTest, ManyPushAndEachKeepsItsOrder) {
  constexpr int kPushers = 4;
  constexpr int kEach = 1000;
  Queue<std::pair<int, int>> queue;
  std::vector<std::thread> pushers;
  for (int pusher = 0; pusher < kPushers; ++pusher) {
    pushers.emplace_back([&queue, pusher] {
      for (int i = 0; i < kEach; ++i) queue.Push({pusher, i});
    });
  }
  std::vector<int> next(kPushers, 0);
  for (int taken = 0; taken < kPushers * kEach;) {
    for (const auto& [pusher, i] : queue.PopAll()) {
      EXPECT_EQ(i, next[pusher]++);
      ++taken;
    }
  }
  for (std::thread& pusher : pushers) pusher.join();
  EXPECT_EQ(queue.TryPop(), std::nullopt);
}

}  // namespace
}  // namespace vmkeep
