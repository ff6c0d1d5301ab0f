#include "controller/placement/repository_selector.h"

#include "tests/support/status_matchers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace vmkeep::controller {
namespace {

using ::testing::AllOf;
using ::testing::Field;
using ::testing::HasSubstr;
using vmkeep::test::HasReason;
using vmkeep::test::IsOk;
using vmkeep::test::IsOkAndHolds;
using vmkeep::test::StatusIs;

RepositoryCandidate Candidate(int slot, int64_t total, int64_t free, int64_t reserved = 0) {
  RepositoryCandidate candidate;
  RepositoryRecord& repository = candidate.repository;
  repository.id = slot == 1 ? "uuid-p" : "uuid-s";
  repository.host_id = "kvm-1";
  repository.slot = slot;
  repository.path = slot == 1 ? "/mnt/backup-p" : "/mnt/backup-s";
  repository.total_bytes = total;
  repository.free_bytes = free;
  repository.health = Health::kHealthy;
  candidate.reserved_bytes = reserved;
  return candidate;
}
RepositoryCandidate With(RepositoryCandidate candidate, Health health, std::string message = "") {
  candidate.repository.health = health;
  candidate.repository.message = std::move(message);
  return candidate;
}
auto Slot(int slot) { return IsOkAndHolds(Field(&Placement::slot, slot)); }
std::string ReasonOf(const absl::StatusOr<Placement>& placement) {
  return placement.ok() ? placement->reason : std::string(placement.status().message());
}

TEST(RepositorySelectorTest, TakesTheLargestFreeShareNotTheLargestFreeSize) {
  EXPECT_THAT(SelectRepository(0, 10, {Candidate(1, 1000, 400), Candidate(2, 200, 150)}), Slot(2));
  EXPECT_THAT(SelectRepository(0, 10, {Candidate(1, 1000, 800), Candidate(2, 200, 150)}), Slot(1));
}

TEST(RepositorySelectorTest, OfEqualsThePrimaryInWhateverOrder) {
  EXPECT_THAT(SelectRepository(0, 10, {Candidate(1, 100, 50), Candidate(2, 200, 100)}), Slot(1));
  EXPECT_THAT(SelectRepository(0, 10, {Candidate(2, 200, 100), Candidate(1, 100, 50)}), Slot(1));
}

TEST(RepositorySelectorTest, ReservationsCount) {
  EXPECT_THAT(SelectRepository(0, 10, {Candidate(1, 100, 90, 60), Candidate(2, 100, 50)}), Slot(2));
  EXPECT_THAT(SelectRepository(1, 40, {Candidate(1, 100, 90, 60)}), HasReason("REPOSITORY_FULL"));
  EXPECT_THAT(SelectRepository(1, 30, {Candidate(1, 100, 90, 60)}), Slot(1));
  EXPECT_THAT(SelectRepository(1, 0, {Candidate(1, 100, 90, 95)}), HasReason("REPOSITORY_FULL"));
}

TEST(RepositorySelectorTest, AChoiceSaysWhy) {
  const std::vector<RepositoryCandidate> both = {Candidate(1, 100, 62), Candidate(2, 100, 40)};
  EXPECT_EQ(ReasonOf(SelectRepository(0, 10, both)),
            "repository 1 (primary): 62 % free after reservations; repository 2 (secondary): 40 % "
            "free after reservations");
  EXPECT_EQ(ReasonOf(SelectRepository(2, 10, both)), "repository 2 (secondary) was asked for");
  const absl::StatusOr<Placement> one_left = SelectRepository(
      0, 10, {With(Candidate(1, 100, 99), Health::kIll, "stale handle"), Candidate(2, 100, 40)});
  EXPECT_THAT(one_left, IsOkAndHolds(AllOf(Field(&Placement::slot, 2),
                                           Field(&Placement::repository_id, "uuid-s"))));
  EXPECT_THAT(ReasonOf(one_left),
              AllOf(HasSubstr("40 % free"), HasSubstr("not chosen: repository 1"),
                    HasSubstr("stale handle")));
}

TEST(RepositorySelectorTest, WhatIsAskedForIsHonouredOrRefusedNeverSwapped) {
  const RepositoryCandidate good = Candidate(1, 100, 90);
  EXPECT_THAT(SelectRepository(2, 10, {good, Candidate(2, 100, 11)}), Slot(2));
  EXPECT_THAT(SelectRepository(2, 10, {good, Candidate(2, 100, 9)}),
              AllOf(StatusIs(absl::StatusCode::kResourceExhausted), HasReason("REPOSITORY_FULL")));
  EXPECT_THAT(SelectRepository(2, 10, {good, With(Candidate(2, 100, 90), Health::kIll, "slow")}),
              AllOf(StatusIs(absl::StatusCode::kUnavailable, HasSubstr("slow")),
                    HasReason("REPOSITORY_ILL")));
  EXPECT_THAT(SelectRepository(2, 10, {good, With(Candidate(2, 100, 90), Health::kUninitialized)}),
              AllOf(StatusIs(absl::StatusCode::kFailedPrecondition),
                    HasReason("REPOSITORY_UNINITIALIZED")));
  EXPECT_THAT(SelectRepository(2, 10, {good, With(Candidate(2, 100, 90), Health::kUnknown)}),
              HasReason("REPOSITORY_ILL"));
  EXPECT_THAT(SelectRepository(2, 10, {good}),
              AllOf(StatusIs(absl::StatusCode::kFailedPrecondition), HasReason("NO_REPOSITORY")));
}

TEST(RepositorySelectorTest, NoneIsSaidWithEachReasonAndWhetherWaitingHelps) {
  const absl::StatusOr<Placement> passing = SelectRepository(
      0, 50, {With(Candidate(1, 100, 90), Health::kUninitialized), Candidate(2, 100, 40)});
  EXPECT_THAT(passing, AllOf(StatusIs(absl::StatusCode::kUnavailable), HasReason("NO_REPOSITORY")));
  EXPECT_THAT(ReasonOf(passing), AllOf(HasSubstr("repository 1"), HasSubstr("no marker"),
                                       HasSubstr("repository 2"), HasSubstr("are needed")));
  EXPECT_THAT(SelectRepository(0, 50, {With(Candidate(1, 100, 90), Health::kUninitialized)}),
              AllOf(StatusIs(absl::StatusCode::kFailedPrecondition), HasReason("NO_REPOSITORY")));
  EXPECT_THAT(SelectRepository(0, 50, {}),
              AllOf(StatusIs(absl::StatusCode::kFailedPrecondition), HasReason("NO_REPOSITORY")));
}

// A pure function: the same answer for every order, never a repository that cannot be used, never
// more than there is.
TEST(RepositorySelectorTest, NeverChoosesWhatCannotBeUsed) {
  std::mt19937_64 random(7);
  const auto roll = [&](int below) { return static_cast<int>(random() % below); };
  for (int i = 0; i < 5000; ++i) {
    std::vector<RepositoryCandidate> candidates;
    for (const int slot : {1, 2}) {
      if (roll(8) == 0) continue;
      candidates.push_back(
          With(Candidate(slot, 100, roll(101), roll(60)), static_cast<Health>(roll(4))));
      if (roll(5) == 0) candidates.back().repository.id.clear();
    }
    const int requested = roll(3);
    const int64_t needed = roll(80);
    const absl::StatusOr<Placement> placement = SelectRepository(requested, needed, candidates);
    std::reverse(candidates.begin(), candidates.end());
    const absl::StatusOr<Placement> reversed = SelectRepository(requested, needed, candidates);
    ASSERT_EQ(placement.ok(), reversed.ok());
    if (!placement.ok()) continue;
    EXPECT_EQ(placement->slot, reversed->slot);
    EXPECT_TRUE(requested == 0 || placement->slot == requested);
    for (const RepositoryCandidate& candidate : candidates) {
      if (candidate.repository.slot != placement->slot) continue;
      EXPECT_EQ(candidate.repository.health, Health::kHealthy);
      EXPECT_GE(candidate.repository.free_bytes - candidate.reserved_bytes, needed);
      EXPECT_EQ(candidate.repository.id, placement->repository_id);
      EXPECT_FALSE(placement->repository_id.empty());
    }
  }
}

}  // namespace
}  // namespace vmkeep::controller
