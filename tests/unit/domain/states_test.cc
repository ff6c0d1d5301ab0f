#include "controller/domain/states.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

namespace vmkeep::controller {
namespace {

using enum BackupState;

// design: states of a backup. Written again by hand, so that a slip in one of the two tables shows.
const std::map<BackupState, std::set<BackupState>> kExpected = {
    {kRequested, {kBuilding, kUnresourced, kScrub}},
    {kBuilding, {kRequested, kRunning, kUnresourced, kScrub}},
    {kUnresourced, {kRequested, kScrub}},
    {kRunning, {kScrub}},
    {kScrub, {kScrubbing, kClosed}},
    {kScrubbing, {kScrub, kClosed}},
    {kClosed, {}},
};

TEST(StatesTest, EveryPairIsAnEdgeOrNot) {
  for (const BackupState from : kAllStates) {
    for (const BackupState to : kAllStates) {
      EXPECT_EQ(MayGo(from, to), kExpected.at(from).contains(to))
          << StateName(from) << " -> " << StateName(to);
    }
  }
}

TEST(StatesTest, NamesAndNumbersAreThoseThatClientsStore) {
  const std::map<std::string, int> expected = {
      {"REQUESTED", 1}, {"BUILDING", 2},   {"UNRESOURCED", 3}, {"RUNNING", 4},
      {"SCRUB", 8},     {"SCRUBBING", 17}, {"CLOSED", 99}};
  std::map<std::string, int> actual;
  for (const BackupState state : kAllStates)
    actual[std::string(StateName(state))] = static_cast<int>(state);
  EXPECT_EQ(actual, expected);
}

TEST(StatesTest, EveryStateThatIsNotSettledLeadsToOneThatIs) {
  for (const BackupState from : kAllStates) {
    std::set<BackupState> reached = {from};
    for (size_t before = 0; before != reached.size();) {
      before = reached.size();
      for (const Edge& edge : kTransitions) {
        if (reached.contains(edge.from)) reached.insert(edge.to);
      }
    }
    EXPECT_TRUE(reached.contains(kClosed)) << StateName(from);
  }
}

TEST(StatesTest, UnfinishedIsNeverSettled) {
  for (const BackupState state : kAllStates)
    EXPECT_FALSE(IsUnfinished(state) && IsSettled(state)) << StateName(state);
}

}  // namespace
}  // namespace vmkeep::controller
