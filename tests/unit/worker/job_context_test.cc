#include "executor/worker/job_context.h"

#include "tests/fakes/fake_clock.h"
#include "tests/support/status_matchers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace vmkeep::worker {
namespace {

using test::HasReason;
using test::IsOk;
using ::testing::ElementsAre;

TEST(JobContextTest, AtMostFourProgressLinesASecondAndTheLastOne) {
  test::FakeClock clock;
  std::vector<int64_t> lines;
  JobContext context(&clock,
                     [&](const v1::Progress& progress) { lines.push_back(progress.bytes_done()); });
  context.SetTotal(1000);
  for (int i = 1; i < 100; ++i) {
    context.AddProgress(10, 0);
    clock.Advance(absl::Milliseconds(10));
  }
  context.AddProgress(10, 0);
  EXPECT_THAT(lines, ElementsAre(0, 260, 510, 760, 1000));
}

TEST(JobContextTest, HolesAreCountedApart) {
  test::FakeClock clock;
  v1::Progress last;
  JobContext context(&clock, [&](const v1::Progress& progress) { last = progress; });
  context.SetTotal(30);
  context.AddProgress(10, 0);
  context.AddProgress(20, 20);
  EXPECT_EQ(last.bytes_total(), 30);
  EXPECT_EQ(last.bytes_done(), 30);
  EXPECT_EQ(last.bytes_holes(), 20);
}

TEST(JobContextTest, CancelAndCommitExcludeEachOther) {
  test::FakeClock clock;
  JobContext cancelled(&clock, [](const v1::Progress&) {});
  EXPECT_THAT(cancelled.CheckCancelled(), IsOk());
  EXPECT_TRUE(cancelled.Cancel());
  EXPECT_THAT(cancelled.CheckCancelled(), HasReason("CANCELLED"));
  EXPECT_THAT(cancelled.BeginCommit(), HasReason("CANCELLED"));

  JobContext committed(&clock, [](const v1::Progress&) {});
  EXPECT_THAT(committed.BeginCommit(), IsOk());
  EXPECT_FALSE(committed.Cancel());
  EXPECT_THAT(committed.CheckCancelled(), IsOk());
}

TEST(JobContextTest, AWatchdogSeesMovesOnlyOnceTheJobHasATotal) {
  test::FakeClock clock;
  JobContext context(&clock, [](const v1::Progress&) {});
  EXPECT_EQ(context.moves(), -1);
  context.SetTotal(10);
  EXPECT_EQ(context.moves(), 0);
  context.AddProgress(1, 0);
  context.AddMove();
  EXPECT_EQ(context.moves(), 2);
}

}  // namespace
}  // namespace vmkeep::worker
