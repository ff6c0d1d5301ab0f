#include "tests/unit/inventory/inventory_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmkeep::controller::test {
namespace {

using ::testing::AllOf;
using vmkeep::test::HasReason;
using vmkeep::test::IsOk;
using vmkeep::test::StatusIs;

TEST_F(InventoryTest, FirstContactPinsTheExecutor) {
  EXPECT_THAT(Hello("kvm-1", "e-1"), HasReason("HOST_NOT_FOUND"));
  ASSERT_THAT(Register("kvm-1", "unix:/run/a"), IsOk());
  ASSERT_THAT(Hello("kvm-1", "e-1"), IsOk());
  Restart();
  EXPECT_THAT(Hello("kvm-1", "e-2"),
              AllOf(StatusIs(absl::StatusCode::kFailedPrecondition), HasReason("HOST_CHANGED")));
  EXPECT_EQ(inventory_->GetHost("kvm-1")->record.executor_id, "e-1");
  EXPECT_THAT(Hello("kvm-1", "e-1", "0.2.0"), IsOk());
  EXPECT_EQ(inventory_->GetHost("kvm-1")->record.version, "0.2.0");
}

TEST_F(InventoryTest, OneExecutorIsOneHost) {
  ASSERT_THAT(Register("kvm-1", "unix:/run/a"), IsOk());
  ASSERT_THAT(Register("kvm-2", "unix:/run/a"), IsOk());
  ASSERT_THAT(Hello("kvm-1", "e-1"), IsOk());
  EXPECT_THAT(Hello("kvm-2", "e-1"), HasReason("EXECUTOR_TAKEN"));
}

}  // namespace
}  // namespace vmkeep::controller::test
