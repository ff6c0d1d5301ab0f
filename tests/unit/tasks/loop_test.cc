#include "controller/dispatch/loop.h"

#include "tests/fakes/fake_clock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <vector>

namespace vmkeep::controller {
namespace {

using ::testing::ElementsAre;

class LoopTest : public ::testing::Test {
 protected:
  // All that was posted before has run, and all timers that are due: those queue up behind the
  // first hop.
  void Settle() {
    std::promise<void> ran;
    loop_->Post([&] { loop_->Post([&] { ran.set_value(); }); });
    ran.get_future().wait();
  }

  test::FakeClock clock_;
  std::shared_ptr<ThreadLoop> loop_ = std::make_shared<ThreadLoop>(clock_);
  std::vector<int> ran_;  // on the loop; read when settled
};

TEST_F(LoopTest, RunsInTheOrderOfPosting) {
  for (int i = 0; i < 5; ++i) loop_->Post([this, i] { ran_.push_back(i); });
  Settle();
  EXPECT_THAT(ran_, ElementsAre(0, 1, 2, 3, 4));
}

TEST_F(LoopTest, TimersWaitForTheClockAndComeInTheirOrder) {
  loop_->PostAfter(absl::Seconds(20), [this] { ran_.push_back(20); });
  loop_->PostAfter(absl::Seconds(10), [this] { ran_.push_back(10); });
  Settle();
  EXPECT_THAT(ran_, ElementsAre());
  clock_.Advance(absl::Seconds(10));
  Settle();
  EXPECT_THAT(ran_, ElementsAre(10));
  clock_.Advance(absl::Seconds(10));
  Settle();
  EXPECT_THAT(ran_, ElementsAre(10, 20));
}

// A wait that is under way ends for an earlier timer: red when Post* does not wake the loop.
TEST_F(LoopTest, AWaitingLoopHearsOfNewWork) {
  loop_->PostAfter(absl::Hours(10), [] {});
  clock_.AwaitWaiters(1);
  loop_->PostAfter(absl::Seconds(1), [this] { ran_.push_back(1); });
  clock_.AwaitWaiters(1);
  clock_.Advance(absl::Seconds(1));
  Settle();
  EXPECT_THAT(ran_, ElementsAre(1));
}

TEST_F(LoopTest, StopDropsWhatIsLeftAndDestroysIt) {
  auto held = std::make_shared<int>(1);
  loop_->PostAfter(absl::Seconds(1), [held] {});
  EXPECT_EQ(held.use_count(), 2);
  loop_->Stop();
  EXPECT_EQ(held.use_count(), 1);
  loop_->Post([held] {});
  EXPECT_EQ(held.use_count(), 1);
}

TEST_F(LoopTest, ClosuresMayPost) {
  loop_->Post([this] { loop_->Post([this] { ran_.push_back(2); }); });
  Settle();
  Settle();
  EXPECT_THAT(ran_, ElementsAre(2));
}

}  // namespace
}  // namespace vmkeep::controller
