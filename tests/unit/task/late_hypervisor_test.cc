#include "executor/task/late_hypervisor.h"

#include "executor/hypervisor/errors.h"
#include "tests/fakes/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/task/scripted_hypervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace vmkeep::executor {
namespace {

using ::testing::NiceMock;
using ::testing::Return;
using ::vmkeep::test::HasReason;
using ::vmkeep::test::IsOk;

TEST(LateHypervisorTest, AnswersUnavailableUntilItIsReachedThenTellsTheChange) {
  vmkeep::test::FakeClock clock;
  std::atomic<bool> up = false;
  std::atomic<int> tries = 0;
  LateHypervisor late("libvirt", BackupMethod::kOverlays, false, clock,
                      [&]() -> absl::StatusOr<std::unique_ptr<Hypervisor>> {
                        ++tries;
                        if (!up) return absl::UnavailableError("no libvirtd");
                        auto mock = std::make_unique<NiceMock<test::MockHypervisor>>();
                        ON_CALL(*mock, ListVms).WillByDefault(Return(std::vector<VmSummary>{}));
                        return mock;
                      });
  std::atomic<int> changes = 0;
  late.OnChange([&] { ++changes; });
  EXPECT_EQ(late.name(), "libvirt");
  EXPECT_THAT(late.ListVms(), HasReason("HYPERVISOR_UNAVAILABLE"));
  EXPECT_THAT(late.Thaw("vm"), HasReason("HYPERVISOR_UNAVAILABLE"));
  for (int tried = tries; tried < 5; tried = tries) {
    clock.AwaitWaiters(1);
    clock.Advance(absl::Seconds(11));  // longer than any delay
    while (tries == tried) std::this_thread::yield();
  }
  EXPECT_EQ(changes, 0);
  up = true;
  while (changes == 0) {
    clock.Advance(absl::Seconds(11));
    std::this_thread::yield();
  }
  EXPECT_THAT(late.ListVms(), IsOk());
}

}  // namespace
}  // namespace vmkeep::executor
