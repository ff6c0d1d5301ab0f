#include "executor/task/progress_meter.h"

#include "tests/fakes/fake_clock.h"

#include <gtest/gtest.h>

#include <vector>

namespace vmkeep::executor {
namespace {

using ::vmkeep::v1::Progress;

class ProgressMeterTest : public ::testing::Test {
 protected:
  vmkeep::test::FakeClock clock_;
  std::vector<Progress> told_;
  ProgressMeter meter_{clock_, [this](const Progress& progress) { told_.push_back(progress); }};
};

TEST_F(ProgressMeterTest, AddsTheDisksUp) {
  meter_.Enter(Progress::COPYING, {1000, 3000}, 0);
  meter_.Update(1000, 1000, 400);
  meter_.Enter(Progress::COPYING, {1000, 3000}, 1);
  clock_.Advance(absl::Seconds(1));
  meter_.Update(500, 4000, 100);
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_EQ(told_[0].bytes_total(), 4000);
  EXPECT_EQ(told_[0].disk(), 1);
  EXPECT_EQ(told_[1].disk(), 2);
  EXPECT_EQ(told_[1].disk_count(), 2);
  EXPECT_EQ(told_[1].bytes_done(), 1500);
  EXPECT_EQ(told_[1].bytes_total(), 5000) << "the worker knows better";
  EXPECT_EQ(told_[1].bytes_holes(), 500);
}

TEST_F(ProgressMeterTest, WorkOnAllDisksAtOnceNamesNone) {
  meter_.EnterAll(Progress::EXPORTING, 4000);
  clock_.Advance(absl::Seconds(1));
  meter_.Update(1000, 4000, 0);
  meter_.EnterAll(Progress::EXPORTING, 7);  // still the same phase
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_EQ(told_[0].bytes_total(), 4000);
  EXPECT_EQ(told_[1].bytes_done(), 1000);
  EXPECT_EQ(told_[1].disk_count(), 0);
  meter_.Enter(Progress::COPYING, {10, 20}, 1);
  EXPECT_EQ(told_.back().disk(), 2) << "and the next phase does again";
}

TEST_F(ProgressMeterTest, TellsAtMostTwiceASecond) {
  meter_.Enter(Progress::COPYING, {1 << 20}, 0);
  for (int i = 1; i <= 400; ++i) {
    clock_.Advance(absl::Milliseconds(25));
    meter_.Update(i, 1 << 20, 0);
  }
  EXPECT_EQ(told_.size(), 1u + 20u);
}

TEST_F(ProgressMeterTest, RateIsOfTheLastSecondsAndEtaFollows) {
  meter_.Enter(Progress::COPYING, {100'000}, 0);
  int64_t done = 0;
  for (int i = 0; i < 20; ++i) {  // slow at first
    clock_.Advance(absl::Seconds(1));
    meter_.Update(done += 10, 100'000, 0);
  }
  for (int i = 0; i < 10; ++i) {
    clock_.Advance(absl::Seconds(1));
    meter_.Update(done += 1000, 100'000, 0);
  }
  EXPECT_NEAR(static_cast<double>(told_.back().bytes_per_second()), 1000, 1);
  EXPECT_EQ(told_.back().eta().seconds(), (100'000 - done) / told_.back().bytes_per_second());
}

TEST_F(ProgressMeterTest, NewPhaseIsToldAtOnceAndCountsFromZero) {
  meter_.Enter(Progress::COPYING, {1000}, 0);
  meter_.Update(900, 1000, 0);
  meter_.Enter(Progress::MERGING, {0}, 0);
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_EQ(told_[1].phase(), Progress::MERGING);
  EXPECT_EQ(told_[1].bytes_done(), 0);
  EXPECT_FALSE(told_[1].has_eta());
}

TEST_F(ProgressMeterTest, StandingStillHasNoRate) {
  meter_.Enter(Progress::COPYING, {1000}, 0);
  clock_.Advance(absl::Seconds(20));
  meter_.Update(0, 1000, 0);
  EXPECT_EQ(told_.back().bytes_per_second(), 0);
  EXPECT_FALSE(told_.back().has_eta());
}

}  // namespace
}  // namespace vmkeep::executor
