#include "executor/metrics/measured_hypervisor.h"

#include "executor/hypervisor/errors.h"
#include "tests/fakes/fake_clock.h"
#include "tests/unit/task/scripted_hypervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace vmkeep::executor {
namespace {

using ::testing::_;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::NiceMock;
using ::testing::Not;
using ::testing::Return;
using ::testing::SizeIs;

class MeasuredHypervisorTest : public ::testing::Test {
 protected:
  vmkeep::test::FakeClock clock_;
  metrics::Registry registry_;
  std::unique_ptr<NiceMock<test::MockHypervisor>> made_ =
      std::make_unique<NiceMock<test::MockHypervisor>>();
  NiceMock<test::MockHypervisor>& inner_ = *made_;
  MeasuredHypervisor hypervisor_{std::move(made_), registry_, clock_};
  const OverlayDisk disk_ = {"uuid-1", "vda", "/vm/a.raw", "raw", "/vm/a.vmkeep-task.qcow2"};
};

TEST_F(MeasuredHypervisorTest, ASnapshotIsTimedByItsConsistency) {
  ON_CALL(inner_, Snapshot(_)).WillByDefault([this](const SnapshotPlan&) {
    clock_.Advance(absl::Milliseconds(1500));
    SnapshotResult result;
    result.consistency = Consistency::kFilesystem;
    return result;
  });
  (void)hypervisor_.Snapshot({});
  EXPECT_THAT(
      registry_.Text(),
      HasSubstr(
          "vmkeep_executor_snapshot_seconds_sum{consistency=\"FILESYSTEM\",result=\"ok\"} 1.5\n"));
}

TEST_F(MeasuredHypervisorTest, AMergeIsTimedFromItsFirstTryToThePivotThatSucceeds) {
  EXPECT_CALL(inner_, StartMerge(_))
      .WillOnce(Return(error::HypervisorUnavailable("a test")))
      .WillOnce(Return(absl::OkStatus()));
  EXPECT_CALL(inner_, Pivot(_))
      .WillOnce(Return(error::HypervisorUnavailable("a test")))
      .WillOnce(Return(absl::OkStatus()));
  for (int i = 0; i < 2; ++i) {
    (void)hypervisor_.StartMerge(disk_);
    clock_.Advance(absl::Seconds(3));
  }
  (void)hypervisor_.Pivot(disk_);
  EXPECT_THAT(registry_.Text(), Not(HasSubstr("vmkeep_executor_merge_seconds")));
  clock_.Advance(absl::Seconds(1));
  (void)hypervisor_.Pivot(disk_);
  EXPECT_THAT(registry_.Text(), HasSubstr("vmkeep_executor_merge_seconds_sum 7\n"));
}

TEST_F(MeasuredHypervisorTest, AnOverlayIsSeenSinceTheFirstLookThatFoundIt) {
  EXPECT_CALL(inner_, ListVms())
      .WillOnce(Return(std::vector<VmSummary>{{"uuid-1", "web-1", PowerState::kOn, {disk_}}}))
      .WillOnce(Return(std::vector<VmSummary>{{"uuid-1", "web-1", PowerState::kOn, {disk_}}}))
      .WillOnce(Return(error::HypervisorUnavailable("a test")))
      .WillOnce(Return(std::vector<VmSummary>{{"uuid-1", "web-1", PowerState::kOn, {}}}));
  const absl::Time first = clock_.Now();
  (void)hypervisor_.ListVms();
  clock_.Advance(absl::Minutes(1));
  (void)hypervisor_.ListVms();
  ASSERT_THAT(hypervisor_.SeenOverlays(), SizeIs(1));
  EXPECT_EQ(hypervisor_.SeenOverlays()[0].first_seen, first);
  EXPECT_TRUE(hypervisor_.reachable());
  (void)hypervisor_.ListVms();
  EXPECT_FALSE(hypervisor_.reachable());
  EXPECT_THAT(hypervisor_.SeenOverlays(), SizeIs(1)) << "the last that was known";
  (void)hypervisor_.ListVms();
  EXPECT_THAT(hypervisor_.SeenOverlays(), IsEmpty());
}

}  // namespace
}  // namespace vmkeep::executor
