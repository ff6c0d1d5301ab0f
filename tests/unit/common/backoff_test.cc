#include "common/backoff.h"

#include <gtest/gtest.h>

#include <set>

namespace vmkeep {
namespace {

TEST(BackoffTest, DoublesWithJitterUpToTheMaximum) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Backoff backoff(absl::Seconds(1), absl::Seconds(10), seed);
    for (const int step : {1, 2, 4, 8, 10, 10, 10}) {
      const absl::Duration delay = backoff.Next();
      EXPECT_GE(delay, absl::Seconds(step) * 0.5);
      EXPECT_LE(delay, absl::Seconds(step));
    }
    backoff.Reset();
    EXPECT_LE(backoff.Next(), absl::Seconds(1));
  }
}

TEST(BackoffTest, SpreadsAndCanBeReplayed) {
  std::set<absl::Duration> delays;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const absl::Duration delay = Backoff(absl::Seconds(1), absl::Seconds(10), seed).Next();
    EXPECT_EQ(delay, Backoff(absl::Seconds(1), absl::Seconds(10), seed).Next());
    delays.insert(delay);
  }
  EXPECT_GT(delays.size(), 90u);
}

}  // namespace
}  // namespace vmkeep
