#include "tests/fakes/fake_clock.h"

#include <gtest/gtest.h>

#include <stop_token>
#include <thread>

namespace vmkeep::test {
namespace {

TEST(FakeClockTest, AdvanceWakesTheWaiter) {
  FakeClock clock;
  const absl::Time before = clock.Now();
  bool waited = false;
  std::jthread waiter(
      [&](const std::stop_token& stop) { waited = clock.WaitFor(absl::Seconds(10), stop); });
  clock.AwaitWaiters(1);
  clock.Advance(absl::Seconds(10));
  waiter.join();
  EXPECT_TRUE(waited);
  EXPECT_EQ(clock.Now(), before + absl::Seconds(10));
}

TEST(FakeClockTest, StopWakesTheWaiterWithFalse) {
  FakeClock clock;
  bool waited = true;
  std::jthread waiter(
      [&](const std::stop_token& stop) { waited = clock.WaitFor(absl::Hours(1), stop); });
  clock.AwaitWaiters(1);
  waiter.request_stop();
  waiter.join();
  EXPECT_FALSE(waited);
}

TEST(FakeClockTest, AWallClockJumpMovesNoDeadline) {
  FakeClock clock;
  const absl::Duration before = clock.Monotonic();
  clock.SetNow(clock.Now() + absl::Hours(5));
  EXPECT_EQ(clock.Monotonic(), before);
}

}  // namespace
}  // namespace vmkeep::test
