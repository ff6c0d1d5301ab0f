#include "tests/integration/controller/controller_fixture.h"

#include "absl/strings/str_cat.h"

namespace vmkeep::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A condition is there as long as its cause is, and no longer. HOST_UNREACHABLE and HOST_DRAINING
// are seen to go in flow_test.cc and hosts_test.cc.
class ConditionsTest : public ControllerTest {
 protected:
  void Restart() {
    StopController();
    StartController();
  }
  static bool IsFree(const pb::Backup& backup) { return backup.conditions().empty(); }
};

TEST_F(ConditionsTest, WaitingForASlotGoesWhenTheSlotIsThere) {
  options_.tasks_per_host = 1;
  Restart();
  AddHost("kvm-1", {"web-1", "web-2"}).FinishAtOnce(false);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup first, Create("web-1", "nightly"));
  AwaitState(first.id(), pb::Backup::BUILDING);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup second, Create("web-2", "nightly"));
  const pb::Backup waiting = AwaitCondition(second.id(), "WAITING_FOR_SLOT");
  EXPECT_THAT(waiting, InState(pb::Backup::REQUESTED));
  EXPECT_THAT(waiting.conditions(0).message(), HasSubstr("limit of 1"));
  AwaitTrue([&] { return host("kvm-1").Finish(first.id()); }, "the first one ended");
  const pb::Backup building = Await(second.id(), [](const pb::Backup& backup) {
    return backup.state() == pb::Backup::BUILDING && IsFree(backup);
  });
  EXPECT_THAT(building.conditions(), IsEmpty());
  AwaitTrue([&] { return host("kvm-1").Finish(second.id()); }, "the second one ended");
  EXPECT_THAT(AwaitState(second.id(), pb::Backup::RUNNING).conditions(), IsEmpty());
}

TEST_F(ConditionsTest, AScrubThatMissesItsRepositorySaysSoUntilItIsBack) {
  AddHost("kvm-1", {"web-1"});
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup created, Create("web-1", "nightly"));
  const pb::Backup running = AwaitState(created.id(), pb::Backup::RUNNING);
  const std::string elsewhere = "33333333-0000-4000-8000-000000000003";
  host("kvm-1").SetRepository(1, controller::Health::kHealthy, elsewhere);
  pb::ListRepositoriesRequest request;
  AwaitTrue(
      [&] {
        const auto all = Do<pb::ListRepositoriesResponse>([&](auto* context, auto* answer) {
          return inventory_->ListRepositories(context, request, answer);
        });
        return all.ok() && all->repositories(0).id() == elsewhere;
      },
      "another repository is mounted there");
  EXPECT_THAT(Scrub(running.id()), IsOk());
  EXPECT_THAT(AwaitCondition(running.id(), "REPOSITORY_ILL").conditions(0).message(),
              HasSubstr(running.repository_id()));
  host("kvm-1").SetRepository(1, controller::Health::kHealthy, running.repository_id());
  EXPECT_THAT(AwaitState(running.id(), pb::Backup::CLOSED).conditions(), IsEmpty());
}

// The backup that left the overlay says so for as long as nobody merged it, in every answer; a
// watch hears of both, though the record does not change. An overlay of a live task is no
// condition.
TEST_F(ConditionsTest, AnOverlayThatNobodyMergesIsAConditionOfItsBackup) {
  AddHost("kvm-1", {"web-1"}).FinishAtOnce(false);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup created, Create("web-1", "nightly"));
  AwaitState(created.id(), pb::Backup::BUILDING);
  controller::Overlay overlay;
  overlay.since = absl::FromUnixSeconds(1'750'000'000);
  overlay.backup_id = created.id();
  overlay.files = {"/vm/web-1.vmkeep-t.qcow2"};
  host("kvm-1").SetOverlay(VmUuid("web-1"), overlay);
  const auto vm_now = [&] {
    pb::GetVmRequest request;
    request.set_id("web-1");
    return *Do<pb::Vm>(
        [&](auto* context, auto* answer) { return inventory_->GetVm(context, request, answer); });
  };
  AwaitTrue([&] { return vm_now().has_overlay(); }, "the overlay is known");
  EXPECT_THAT(Get(created.id())->conditions(), IsEmpty());

  AwaitTrue([&] { return host("kvm-1").accepted() == 1; }, "accepted");
  controller::TaskEnded ended;
  ended.outcome = controller::Outcome::kFailed;
  ended.snapshot_taken = true;
  ended.vm_on_overlay = true;
  ended.failure.emplace().reason = "MERGE_FAILED";
  EXPECT_TRUE(host("kvm-1").Finish(created.id(), ended));
  const pb::Backup failed = AwaitState(created.id(), pb::Backup::UNRESOURCED);
  overlay.needs_attention = true;
  overlay.remedy = "merge it by hand";
  host("kvm-1").SetOverlay(VmUuid("web-1"), overlay);
  const pb::Backup on_overlay = AwaitCondition(created.id(), "VM_ON_OVERLAY");
  EXPECT_THAT(on_overlay.conditions(0).message(),
              AllOf(HasSubstr("web-1"), HasSubstr("merge it by hand")));
  EXPECT_EQ(on_overlay.conditions(0).since().seconds(), 1'750'000'000);
  EXPECT_EQ(on_overlay.etag(), failed.etag());
  EXPECT_TRUE(HasCondition(*Get(created.id()), "VM_ON_OVERLAY"));
  EXPECT_TRUE(HasCondition(List({})->backups(0), "VM_ON_OVERLAY"));
  EXPECT_TRUE(vm_now().overlay().needs_attention());

  // The same files, kept after a flush that failed: the VM is not on them.
  overlay.files_only = true;
  overlay.reason = "BASE_NOT_FLUSHED";
  overlay.message = "could not flush /vm/a";
  host("kvm-1").SetOverlay(VmUuid("web-1"), overlay);
  const pb::Backup kept = AwaitCondition(created.id(), "BASE_NOT_FLUSHED");
  EXPECT_FALSE(HasCondition(kept, "VM_ON_OVERLAY"));
  EXPECT_THAT(kept.conditions(0).message(), HasSubstr("on its own disks"));
  EXPECT_THAT(kept.conditions(0).message(), HasSubstr("could not flush /vm/a"));
  EXPECT_EQ(vm_now().overlay().reason(), "BASE_NOT_FLUSHED");
  EXPECT_TRUE(vm_now().overlay().files_only());
  overlay.files_only = false;
  host("kvm-1").SetOverlay(VmUuid("web-1"), overlay);
  AwaitCondition(created.id(), "VM_ON_OVERLAY");

  Restart();
  AwaitHost("kvm-1", pb::Host::ONLINE);
  AwaitCondition(created.id(), "VM_ON_OVERLAY");
  host("kvm-1").SetOverlay(VmUuid("web-1"), std::nullopt);
  EXPECT_THAT(Await(created.id(), IsFree), InState(pb::Backup::UNRESOURCED));
}

}  // namespace
}  // namespace vmkeep::test
