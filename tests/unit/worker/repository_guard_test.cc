#include "executor/worker_client/repository_guard.h"

#include "common/error.h"
#include "common/process/process.h"
#include "tests/fakes/fake_clock.h"
#include "tests/support/status_matchers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace vmkeep::executor {
namespace {

using test::HasReason;
using test::IsOk;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using worker::v1::Request;
using worker::v1::Result;

constexpr char kSick[] = "/mnt/sick";
constexpr char kWell[] = "/mnt/well";

Request Probe(const std::string& root = kSick) {
  Request request;
  request.mutable_probe()->mutable_repository()->set_root(root);
  return request;
}
Request Copy(const std::string& root = kSick) {
  Request request;
  request.mutable_copy()->mutable_repository()->set_root(root);
  return request;
}
Request Discard() {
  Request request;
  request.mutable_discard()->mutable_repository()->set_root(kSick);
  return request;
}
Request Scrub() {
  Request request;
  request.mutable_scrub()->mutable_repository()->set_root(kSick);
  return request;
}

absl::Status Fails(absl::string_view reason) {
  return MakeError(absl::StatusCode::kUnavailable, reason, "it said so.");
}

// Answers what the test says. A process that goes on after its job stands in for one that no signal
// ends; tests/system/repository_faults_test.py has real ones.
class ScriptedWorker final : public Worker {
 public:
  absl::Status answer;
  bool hangs = false;
  std::function<void()> meanwhile;
  std::vector<std::unique_ptr<process::ChildProcess>> left;

  absl::StatusOr<Result> Run(const Request&, absl::Duration, absl::Duration, const std::stop_token&,
                             const Hooks& hooks) override {
    if (hangs) {
      auto spawned = process::Spawn({.argv = {"sleep", "60"}});
      EXPECT_THAT(spawned, IsOk());
      left.push_back(*std::move(spawned));
      hooks.on_started(left.back()->id().pid, left.back()->id().start_time);
    }
    if (const std::function<void()> now = meanwhile) now();
    if (!answer.ok()) return answer;
    return Result();
  }
};

class RepositoryGuardTest : public ::testing::Test {
 protected:
  RepositoryGuardTest() {
    guard_.OnIll([this](const std::string& root) { told_.push_back(root); });
  }

  absl::Status Run(const Request& request) {
    return guard_.Run(request, absl::Minutes(1), absl::Minutes(1), {}, {}).status();
  }
  absl::Status RunWell(const Request& request) {
    worker_.answer = absl::OkStatus();
    worker_.hangs = false;
    return Run(request);
  }
  absl::Status RunFailing(const Request& request, absl::string_view reason) {
    worker_.answer = Fails(reason);
    worker_.hangs = false;
    return Run(request);
  }
  absl::Status RunHanging(const Request& request) {
    worker_.answer = Fails("COPY_STALLED");
    worker_.hangs = true;
    return Run(request);
  }
  bool Ill() { return guard_.LookAt(kSick).ill; }
  void TheMountIsBack() {
    for (const auto& process : worker_.left) {
      process->Kill();
      ASSERT_TRUE(process->Wait(absl::Seconds(10)).has_value());
    }
  }

  test::FakeClock clock_;
  ScriptedWorker worker_;
  RepositoryGuard guard_{worker_, {.max_hanging = 3, .faults_until_ill = 3}, clock_};
  std::vector<std::string> told_;
};

TEST_F(RepositoryGuardTest, WhoHangsIsCountedByRepositoryUntilItEnds) {
  EXPECT_THAT(RunHanging(Copy()), HasReason("COPY_STALLED"));
  EXPECT_EQ(guard_.LookAt(kSick).hanging, 1);
  EXPECT_THAT(guard_.LookAt(kSick).message, HasSubstr("1 vmkeep-worker process hangs there"));
  EXPECT_EQ(guard_.LookAt(kWell).hanging, 0);
  TheMountIsBack();
  EXPECT_EQ(guard_.LookAt(kSick).hanging, 0);
}

TEST_F(RepositoryGuardTest, BeyondTheLimitAJobIsRefusedAtOnceAndOnlyThere) {
  for (int i = 0; i < 3; ++i) EXPECT_THAT(RunHanging(Copy()), HasReason("COPY_STALLED"));
  const absl::Status refused = RunWell(Copy());
  EXPECT_THAT(refused, AllOf(StatusIs(absl::StatusCode::kUnavailable, HasSubstr(kSick)),
                             HasReason("REPOSITORY_STUCK")));
  EXPECT_EQ(ErrorDetails(refused).at("hanging"), "3");
  EXPECT_THAT(RunWell(Probe()), HasReason("REPOSITORY_STUCK"));
  EXPECT_EQ(worker_.left.size(), 3u);
  EXPECT_THAT(RunWell(Copy(kWell)), IsOk());
  TheMountIsBack();
  EXPECT_THAT(RunWell(Copy()), IsOk());
}

TEST_F(RepositoryGuardTest, WhatRunsCountsOnlyWhereOneHangs) {
  absl::Status third;
  std::function<void(int)> nest = [&](int depth) {
    worker_.meanwhile = [&, depth] {
      if (depth > 0) return nest(depth - 1);
      worker_.meanwhile = nullptr;
      third = RunWell(Copy());
    };
    (void)Run(Copy());
  };
  nest(4);  // five run, nobody hangs
  EXPECT_THAT(third, IsOk());
  EXPECT_THAT(RunHanging(Copy()), HasReason("COPY_STALLED"));
  worker_.hangs = false;
  nest(1);  // one hangs, two run
  EXPECT_THAT(third, HasReason("REPOSITORY_STUCK"));
}

TEST_F(RepositoryGuardTest, NoProbeWhileTheLastOneHangs) {
  EXPECT_THAT(RunHanging(Probe()), HasReason("COPY_STALLED"));
  EXPECT_THAT(RunWell(Probe()), HasReason("REPOSITORY_STUCK"));
  EXPECT_EQ(worker_.left.size(), 1u);
  TheMountIsBack();
  EXPECT_THAT(RunWell(Probe()), IsOk());
}

// It would hang as long, and the backup with it; the journal has what it would remove.
TEST_F(RepositoryGuardTest, AfterAHangNothingIsDiscardedUntilAProbeWentWell) {
  EXPECT_THAT(RunFailing(Copy(), "COPY_STALLED"), HasReason("COPY_STALLED"));
  EXPECT_THAT(RunWell(Discard()), HasReason("REPOSITORY_STUCK"));
  EXPECT_THAT(RunWell(Scrub()), IsOk());  // somebody waits for that
  clock_.Advance(absl::Minutes(1));
  EXPECT_THAT(RunWell(Probe()), IsOk());
  EXPECT_THAT(RunWell(Discard()), IsOk());
}

// A full one gets room by what failed tries left there.
TEST_F(RepositoryGuardTest, AfterOtherFaultsDiscardsGoOn) {
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(RunFailing(Copy(), "REPOSITORY_FULL").ok());
  EXPECT_TRUE(Ill());
  EXPECT_THAT(RunWell(Discard()), IsOk());
}

TEST_F(RepositoryGuardTest, ThreeFaultsInARowMakeItIllAndItIsToldOnce) {
  EXPECT_FALSE(RunFailing(Copy(), "REPOSITORY_IO_ERROR").ok());
  EXPECT_FALSE(RunFailing(Copy(), "REPOSITORY_FULL").ok());
  EXPECT_FALSE(Ill());
  EXPECT_THAT(told_, IsEmpty());
  EXPECT_FALSE(RunFailing(Scrub(), "REPOSITORY_NOT_MOUNTED").ok());
  EXPECT_TRUE(Ill());
  EXPECT_THAT(guard_.LookAt(kSick).message,
              AllOf(HasSubstr("3 jobs in a row failed there"), HasSubstr("it said so.")));
  EXPECT_FALSE(RunFailing(Copy(), "REPOSITORY_FULL").ok());
  EXPECT_THAT(told_, ElementsAre(kSick));
  EXPECT_FALSE(guard_.LookAt(kWell).ill);
}

TEST_F(RepositoryGuardTest, ACopyThatGoesWellInBetweenEndsTheRow) {
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(RunFailing(Copy(), "REPOSITORY_IO_ERROR").ok());
    EXPECT_FALSE(RunFailing(Copy(), "REPOSITORY_IO_ERROR").ok());
    EXPECT_THAT(RunWell(Copy()), IsOk());
  }
  EXPECT_FALSE(Ill());
}

TEST_F(RepositoryGuardTest, WhatIsNotTheRepositorysFaultDoesNotCount) {
  for (int i = 0; i < 5; ++i) {
    for (const char* reason : {"SOURCE_READ_ERROR", "CANCELLED", "WORKER_DIED"})
      EXPECT_FALSE(RunFailing(Copy(), reason).ok());
    EXPECT_FALSE(RunFailing(Probe(), "REPOSITORY_MARKER_ABSENT").ok());
  }
  EXPECT_FALSE(Ill());
}

TEST_F(RepositoryGuardTest, OneHangMakesItIllAtOnce) {
  EXPECT_FALSE(RunFailing(Copy(), "WORKER_DEADLINE").ok());
  EXPECT_TRUE(Ill());
  EXPECT_THAT(told_, ElementsAre(kSick));
}

TEST_F(RepositoryGuardTest, AnIllOneIsWellAfterAGoodProbeNotSoonerThanTheRest) {
  EXPECT_FALSE(RunFailing(Copy(), "COPY_STALLED").ok());
  clock_.Advance(absl::Seconds(59));
  EXPECT_THAT(RunWell(Probe()), IsOk());
  EXPECT_THAT(RunWell(Copy()), IsOk());
  EXPECT_TRUE(Ill());
  clock_.Advance(absl::Seconds(1));
  EXPECT_FALSE(RunFailing(Probe(), "REPOSITORY_IO_ERROR").ok());
  EXPECT_TRUE(Ill());
  EXPECT_THAT(RunWell(Probe()), IsOk());
  EXPECT_FALSE(Ill());
  EXPECT_EQ(guard_.LookAt(kSick).message, "");
}

TEST_F(RepositoryGuardTest, WhoHangsSinceAnEarlierExecutorIsCountedToo) {
  worker_.hangs = true;
  auto spawned = process::Spawn({.argv = {"sleep", "60"}});
  ASSERT_THAT(spawned, IsOk());
  worker_.left.push_back(*std::move(spawned));
  guard_.Adopt(kSick, worker_.left.back()->id());
  EXPECT_EQ(guard_.LookAt(kSick).hanging, 1);
  EXPECT_TRUE(Ill());
}

}  // namespace
}  // namespace vmkeep::executor
