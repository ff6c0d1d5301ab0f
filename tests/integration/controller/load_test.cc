#include "tests/integration/controller/controller_fixture.h"

#include "absl/strings/str_cat.h"

#include <atomic>
#include <set>
#include <thread>

namespace vmkeep::test {
namespace {

// Many at once: what a race would break.
class LoadTest : public ControllerTest {
 protected:
  static void InParallel(int threads, const std::function<void(int)>& run) {
    std::vector<std::thread> all;
    all.reserve(static_cast<size_t>(threads));
    for (int i = 0; i < threads; ++i) all.emplace_back([&run, i] { run(i); });
    for (std::thread& thread : all) thread.join();
  }
};

TEST_F(LoadTest, TwoHundredCreatesAtOnceAllRunWithinTheLimits) {
  constexpr int kHosts = 4;
  constexpr int kBackups = 200;
  for (int h = 0; h < kHosts; ++h) {
    std::vector<std::string> vms;
    for (int i = 0; i < kBackups / kHosts; ++i) vms.push_back(absl::StrCat("vm-", h, "-", i));
    AddHost(absl::StrCat("kvm-", h), vms);
  }
  std::vector<std::string> ids(kBackups);
  InParallel(20, [&](int thread) {
    for (int i = thread; i < kBackups; i += 20) {
      const auto backup = Create(absl::StrCat("vm-", i % kHosts, "-", i / kHosts), "nightly");
      ASSERT_THAT(backup, IsOk());
      ids[static_cast<size_t>(i)] = backup->id();
    }
  });
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), static_cast<size_t>(kBackups));
  for (const std::string& id : ids) EXPECT_EQ(AwaitState(id, pb::Backup::RUNNING).epoch(), 1);
  int accepted = 0;
  for (int h = 0; h < kHosts; ++h) {
    FakeExecutor& executor = host(absl::StrCat("kvm-", h));
    accepted += executor.accepted();
    EXPECT_LE(executor.most_at_once(), 2);
  }
  EXPECT_EQ(accepted, kBackups);
}

TEST_F(LoadTest, OfManyCreatesForOneVmExactlyOneWins) {
  AddHost("kvm-1", {"web-1"}).FinishAtOnce(false);
  std::atomic<int> won = 0;
  std::atomic<int> refused = 0;
  InParallel(40, [&](int i) {
    const auto backup = Create("web-1", absl::StrCat("n", i));
    if (backup.ok()) ++won;
    if (ErrorReason(backup.status()) == "UNFINISHED_BACKUP") ++refused;
  });
  EXPECT_EQ(won, 1);
  EXPECT_EQ(refused, 39);
}

TEST_F(LoadTest, OneRequestIdFromManyThreadsIsOneBackup) {
  AddHost("kvm-1", {"web-1"});
  std::vector<std::string> ids(40);
  InParallel(40, [&](int i) {
    const auto backup =
        Create("web-1", "nightly", [](auto& request) { request.set_request_id("same"); });
    ASSERT_THAT(backup, IsOk());
    ids[static_cast<size_t>(i)] = backup->id();
  });
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), 1U);
  AwaitState(ids[0], pb::Backup::RUNNING);
  EXPECT_EQ(host("kvm-1").accepted(), 1);
}

TEST_F(LoadTest, AnUnsteadyHostDoesEverythingOnce) {
  constexpr int kBackups = 30;
  std::vector<std::string> vms;
  for (int i = 0; i < kBackups; ++i) vms.push_back(absl::StrCat("vm-", i));
  FakeExecutor& executor = AddHost("kvm-1", vms);
  std::vector<std::string> ids;
  for (int i = 0; i < kBackups; ++i) {
    const auto backup = Create(vms[static_cast<size_t>(i)], "nightly");
    ASSERT_THAT(backup, IsOk());
    ids.push_back(backup->id());
    executor.LoseStartAnswers(1);
    executor.BreakStream();
  }
  for (const std::string& id : ids) {
    // A task whose answer was lost was not finished by the fake either.
    AwaitTrue(
        [&] {
          (void)executor.Finish(id);
          return Get(id)->state() == pb::Backup::RUNNING;
        },
        id);
    EXPECT_EQ(Get(id)->epoch(), 1);
  }
  EXPECT_EQ(executor.accepted(), kBackups);
}

}  // namespace
}  // namespace vmkeep::test
