#include "common/clock.h"

#include <gtest/gtest.h>

#include <stop_token>
#include <thread>

namespace vmkeep {
namespace {

TEST(RealClockTest, AWaitEndsAtItsDeadlineAndNotBefore) {
  Clock& clock = RealClock();
  const absl::Duration deadline = clock.Monotonic() + absl::Milliseconds(5);
  EXPECT_TRUE(clock.WaitUntil(deadline, {}));
  EXPECT_GE(clock.Monotonic(), deadline);
}

TEST(RealClockTest, AStopEndsAWaitOfAnyLength) {
  std::stop_source stop;
  std::thread waiter([token = stop.get_token()] {
    EXPECT_FALSE(RealClock().WaitFor(absl::Hours(1), token));
    EXPECT_FALSE(RealClock().WaitUntil(absl::ZeroDuration(),
                                       token));  // a stop counts more than the deadline
  });
  stop.request_stop();
  waiter.join();
}

TEST(RealClockTest, MonotonicNeverGoesBack) {
  absl::Duration last = RealClock().Monotonic();
  for (int i = 0; i < 1000; ++i) {
    const absl::Duration now = RealClock().Monotonic();
    ASSERT_GE(now, last);
    last = now;
  }
}

}  // namespace
}  // namespace vmkeep
