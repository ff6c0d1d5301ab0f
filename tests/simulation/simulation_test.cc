#include "tests/simulation/simulation.h"

#include "common/log.h"

#include "absl/strings/str_join.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace vmkeep::sim {
namespace {

using ::testing::IsEmpty;

class SimulationTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { log::Init("simulation_test", log::Level::kError); }
};

std::string Texts(const Outcome& outcome) {
  return absl::StrJoin(outcome.wrong, "\n", [](std::string* out, const Wrong& wrong) {
    absl::StrAppend(out, wrong.invariant, " ", wrong.detail);
  });
}

TEST_F(SimulationTest, WithoutFaultsEveryBackupComesAbout) {
  int running = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const Outcome outcome = Simulate({.seed = seed, .faults = false});
    EXPECT_THAT(outcome.wrong, IsEmpty()) << "seed " << seed << "\n" << Texts(outcome);
    EXPECT_EQ(outcome.ended.count("UNRESOURCED"), 0U) << "seed " << seed;
    EXPECT_EQ(outcome.ended.count("REQUESTED"), 0U) << "seed " << seed;
    if (outcome.ended.contains("RUNNING")) running += outcome.ended.at("RUNNING");
  }
  EXPECT_GT(running, 100);
}

TEST_F(SimulationTest, ASeedGivesTheSameTraceAgain) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    const Outcome first = Simulate({.seed = seed});
    const Outcome again = Simulate({.seed = seed});
    EXPECT_GT(first.trace.size(), 10U);
    ASSERT_EQ(first.trace, again.trace) << "seed " << seed;
    EXPECT_EQ(first.steps, again.steps);
  }
  EXPECT_NE(Simulate({.seed = 1}).trace, Simulate({.seed = 2}).trace);
}

// Each checker goes red when its rule is broken: a defect of the models that breaks it, and the
// invariant that has to say so within so many seeds.
class MutantTest : public SimulationTest,
                   public ::testing::WithParamInterface<std::pair<Mutant, const char*>> {};

TEST_P(MutantTest, IsSeen) {
  const auto& [mutant, invariant] = GetParam();
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    for (const Wrong& wrong : Simulate({.seed = seed, .mutant = mutant}).wrong) {
      if (wrong.invariant != invariant) continue;
      RecordProperty("seed", static_cast<int>(seed));
      return;
    }
  }
  FAIL() << "the checker of " << invariant << " never went red";
}

INSTANTIATE_TEST_SUITE_P(All, MutantTest,
                         ::testing::Values(std::pair{Mutant::kNeverMerges, "I1"},
                                           std::pair{Mutant::kMergeLosesWrite, "I2"},
                                           std::pair{Mutant::kCopyReadsTheOverlay, "I3"},
                                           std::pair{Mutant::kPublishDoesNothing, "I5"},
                                           std::pair{Mutant::kForgetsRequestIds, "I6"},
                                           std::pair{Mutant::kAcceptsOldEpochs, "I7"},
                                           std::pair{Mutant::kDiscardDoesNothing, "I8"},
                                           std::pair{Mutant::kRemovesWhatIsForeign, "I8"},
                                           std::pair{Mutant::kScrubDoesNothing, "I9"},
                                           std::pair{Mutant::kScrubTakesAnother, "I9"},
                                           std::pair{Mutant::kHungHostStopsAll, "I12"}));

}  // namespace
}  // namespace vmkeep::sim
