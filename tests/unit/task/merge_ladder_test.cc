#include "executor/task/merge_ladder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace vmkeep::executor {
namespace {

constexpr int64_t kMiB = 1 << 20;

// A merge and its guest, second by second: the merge moves `merge` bytes, the guest dirties `guest`
// bytes, or what it is limited to; a suspended one nothing.
struct Race {
  int64_t merge = 0;
  int64_t guest = 0;
  int64_t limited_to = 0;  // what the merge is limited to until full speed
  int64_t left = 100 * kMiB;
  LadderPolicy policy = {};

  int64_t done = 0;
  absl::Duration at = absl::Seconds(1000);
  LadderState state = {};

  void Second() {
    const int64_t writes = state.help.suspended ? 0
                           : state.help.write_bytes_per_second > 0
                               ? std::min(guest, state.help.write_bytes_per_second)
                               : guest;
    const int64_t speed = limited_to > 0 && !state.help.full_speed ? limited_to : merge;
    const int64_t moved = std::min(left + writes, speed);
    left += writes - moved;
    done += moved;
    at += absl::Seconds(1);
    state = Climb(state, {at, done, done + left}, absl::Hours(6), policy);
  }
  // The rungs that it came to, within `seconds` or until nothing is left.
  std::vector<Rung> Run(int seconds) {
    std::vector<Rung> rungs;
    for (int i = 0; i < seconds && left > 0; ++i) {
      const Rung before = state.rung;
      Second();
      if (state.rung != before) rungs.push_back(state.rung);
    }
    return rungs;
  }
};

TEST(MergeLadderTest, MergeThatGainsIsLeftAlone) {
  Race race{.merge = 10 * kMiB, .guest = 9 * kMiB};
  EXPECT_EQ(race.Run(3600), std::vector<Rung>());
  EXPECT_EQ(race.left, 0);
}

// Seen with a limit on the job: done and total both grow, and what is left stays.
TEST(MergeLadderTest, ShareThatIsDoneGrowsAndStillItDoesNotConverge) {
  const MergeSample before{absl::ZeroDuration(), 100, 400};
  const MergeSample now{absl::Seconds(30), 900, 1200};
  EXPECT_FALSE(Converges(before, now, absl::Hours(6)));
  EXPECT_TRUE(Converges(before, {absl::Seconds(30), 900, 1100}, absl::Hours(6)));
  EXPECT_TRUE(Converges(before, {absl::Seconds(30), 900, 900}, absl::ZeroDuration()));
}

TEST(MergeLadderTest, GainThatIsTooSmallForTheDeadlineIsNone) {
  const MergeSample before{absl::ZeroDuration(), 0, 1'000'000};
  const MergeSample now{absl::Seconds(30), 0, 999'000};  // 999 more such windows
  EXPECT_TRUE(Converges(before, now, absl::Seconds(30 * 999)));
  EXPECT_FALSE(Converges(before, now, absl::Seconds(30 * 998)));
}

TEST(MergeLadderTest, LimitOnTheMergeGoesFirst) {
  Race race{.merge = 100 * kMiB, .guest = 20 * kMiB, .limited_to = 10 * kMiB};
  EXPECT_EQ(race.Run(3600), std::vector<Rung>{Rung::kFullSpeed});
  EXPECT_EQ(race.left, 0);
  EXPECT_LT(race.at, absl::Seconds(1000 + 40));
}

TEST(MergeLadderTest, GuestThatIsFasterIsLimitedToHalfOfTheMerge) {
  Race race{.merge = 20 * kMiB, .guest = 30 * kMiB};
  EXPECT_EQ(race.Run(3600), (std::vector<Rung>{Rung::kFullSpeed, Rung::kLimitWrites}));
  EXPECT_EQ(race.left, 0);
  EXPECT_EQ(race.state.help.write_bytes_per_second, 10 * kMiB);
  EXPECT_FALSE(race.state.help.suspended);
}

TEST(MergeLadderTest, NobodyIsSuspendedUnlessThePolicySaysSo) {
  Race race{.merge = 0, .guest = kMiB};
  EXPECT_EQ(race.Run(100), (std::vector<Rung>{Rung::kFullSpeed, Rung::kLimitWrites, Rung::kRest}));
  EXPECT_EQ(race.state.help, MergeHelp{}) << "nothing stays on the guest";
}

TEST(MergeLadderTest, SuspensionIsBoundedAndComesBackAfterTheRestOnly) {
  Race race{.merge = 0, .guest = kMiB, .policy = {.suspend_for = absl::Seconds(5)}};
  int suspended = 0;
  for (int second = 0; second < 30 * 3 + 1 + 5 + 300; ++second) {
    race.Second();
    suspended += race.state.help.suspended ? 1 : 0;
  }
  EXPECT_EQ(suspended, 5);
  EXPECT_EQ(race.state.rung, Rung::kNone) << "and the ladder begins anew";
}

TEST(MergeLadderTest, SuspendedGuestThatWritesNoMoreIsMerged) {
  Race race{.merge = kMiB / 2,
            .guest = 2 * kMiB,
            .left = 2 * kMiB,
            .policy = {.suspend_for = absl::Minutes(10)}};
  EXPECT_EQ(race.Run(3600),
            (std::vector<Rung>{Rung::kFullSpeed, Rung::kLimitWrites, Rung::kSuspend}));
  EXPECT_EQ(race.left, 0);
}

}  // namespace
}  // namespace vmkeep::executor
