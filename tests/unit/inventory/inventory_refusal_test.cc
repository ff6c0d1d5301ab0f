#include "tests/unit/inventory/inventory_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmkeep::controller::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
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

// An engineer confirms what was refused, and nothing else: not a guess, and not while the pinned
// one answers.
TEST_F(InventoryTest, OnlyTheExecutorThatWasRefusedCanBeConfirmed) {
  ASSERT_THAT(Register("kvm-1", "unix:/run/a"), IsOk());
  ASSERT_THAT(Hello("kvm-1", "e-1"), IsOk());
  const auto confirm = [&](const std::string& executor_id) {
    return Update("kvm-1", {.draining = {}, .executor_id = executor_id});
  };
  EXPECT_THAT(confirm("e-2"), HasReason("EXECUTOR_NOT_SEEN"));
  EXPECT_THAT(confirm("e-1"), IsOk()) << "as it is";
  inventory_->RecordAcknowledged("kvm-1", 40);
  EXPECT_THAT(Hello("kvm-1", "e-2"), HasReason("HOST_CHANGED"));
  EXPECT_THAT(confirm("e-3"),
              AllOf(StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("e-2")),
                    HasReason("EXECUTOR_NOT_SEEN")));
  ASSERT_THAT(Hello("kvm-1", "e-1"), IsOk());  // the pinned one is back
  EXPECT_THAT(confirm("e-2"), HasReason("EXECUTOR_NOT_SEEN"));
  EXPECT_THAT(Hello("kvm-1", "e-2"), HasReason("HOST_CHANGED"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const HostView confirmed, confirm("e-2"));
  EXPECT_EQ(confirmed.record.executor_id, "e-2");
  EXPECT_EQ(confirmed.record.acknowledged_sequence, 0) << "it counts its events anew";
  EXPECT_THAT(Hello("kvm-1", "e-2"), IsOk());
  EXPECT_THAT(confirm("e-1"), HasReason("EXECUTOR_NOT_SEEN"));
}

TEST_F(InventoryTest, ARegisteredIdMustNotHideAnotherVm) {
  ASSERT_THAT(Register("kvm-1", "unix:/run/a"), IsOk());
  inventory_->RecordInventory("kvm-1", {Vm(1), Vm(2)}, {});
  EXPECT_THAT(RegisterVm("vm-2", Uuid(1)),
              AllOf(StatusIs(absl::StatusCode::kAlreadyExists), HasReason("VM_ID_IS_A_NAME")));
  EXPECT_EQ(inventory_->ResolveVm("local", "vm-2")->vm.uuid, Uuid(2));
  EXPECT_THAT(RegisterVm("vm-1", Uuid(1)), IsOk()) << "its own name is its own";
  EXPECT_THAT(RegisterVm("vm-9", Uuid(2)), IsOk());
  // Named so later: what is registered stays, and repeating it is no error.
  VmRecord late = Vm(3);
  late.name = "vm-9";
  inventory_->RecordInventory("kvm-1", {Vm(1), Vm(2), late}, {});
  EXPECT_THAT(RegisterVm("vm-9", Uuid(2)), IsOk());
  EXPECT_EQ(inventory_->ResolveVm("local", "vm-9")->vm.uuid, Uuid(2));
  EXPECT_EQ(inventory_->ResolveVm("local", Uuid(3))->vm.name, "vm-9");
}

}  // namespace
}  // namespace vmkeep::controller::test
