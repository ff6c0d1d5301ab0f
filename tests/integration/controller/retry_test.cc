#include "tests/integration/controller/controller_fixture.h"

namespace vmkeep::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class RetryTest : public ControllerTest {
 protected:
  RetryTest() { AddHost("kvm-1", {"web-1"}).FinishAtOnce(false); }

  absl::StatusOr<pb::Backup> Retry(const std::string& id, const std::string& etag = "") {
    pb::RetryBackupRequest request;
    request.set_id(id);
    request.set_etag(etag);
    return Do<pb::Backup>([&](auto* context, auto* response) {
      return backups_->RetryBackup(context, request, response);
    });
  }
  // A backup whose one try failed after the snapshot.
  pb::Backup Failed(const std::string& name, bool files_may_remain = false) {
    const pb::Backup created = *Create("web-1", name);
    AwaitState(created.id(), pb::Backup::BUILDING);
    controller::TaskEnded ended;
    ended.outcome = controller::Outcome::kFailed;
    ended.snapshot_taken = true;
    ended.files_may_remain = files_may_remain;
    controller::Failure& failure = ended.failure.emplace();
    failure.reason = "STALLED";
    failure.message = "no byte moved";
    AwaitTrue([&] { return host("kvm-1").Finish(created.id(), ended); }, "the task is there");
    return AwaitState(created.id(), pb::Backup::UNRESOURCED);
  }
};

TEST_F(RetryTest, AFailedBackupIsTriedAgainAsTheSameRecord) {
  const pb::Backup failed = Failed("nightly");
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup retried, Retry(failed.id(), failed.etag()));
  EXPECT_EQ(retried.id(), failed.id());
  EXPECT_FALSE(retried.has_failure());
  const pb::Backup building = AwaitState(failed.id(), pb::Backup::BUILDING);
  EXPECT_EQ(building.epoch(), failed.epoch() + 1);
  AwaitTrue([&] { return host("kvm-1").Finish(failed.id()); }, "the second task is there");
  EXPECT_FALSE(AwaitState(failed.id(), pb::Backup::RUNNING).has_failure());
}

TEST_F(RetryTest, WhatIsNotFailedIsNotRetried) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup created, Create("web-1", "nightly"));
  EXPECT_THAT(Retry(created.id()), AllOf(StatusIs(absl::StatusCode::kFailedPrecondition),
                                         HasReason("ILLEGAL_TRANSITION")));
  EXPECT_THAT(Retry("00000000-0000-7000-8000-000000000000"), HasReason("BACKUP_NOT_FOUND"));
  EXPECT_THAT(Retry("nonsense"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(RetryTest, AnOldEtagAndAnotherUnfinishedBackupRefuseIt) {
  const pb::Backup failed = Failed("nightly");
  EXPECT_THAT(Retry(failed.id(), "1"),
              AllOf(StatusIs(absl::StatusCode::kAborted), HasReason("ETAG_MISMATCH")));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup other, Create("web-1", "weekly"));
  AwaitState(other.id(), pb::Backup::BUILDING);
  EXPECT_THAT(Retry(failed.id()), HasReason("UNFINISHED_BACKUP"));
  EXPECT_THAT(*Get(failed.id()), InState(pb::Backup::UNRESOURCED)) << "nothing was changed";
  EXPECT_THAT(*Get(other.id()), InState(pb::Backup::BUILDING)) << "nor here";
}

TEST_F(RetryTest, AVmOnAnOverlayThatNobodyMergesIsNotRetried) {
  const pb::Backup failed = Failed("nightly");
  controller::Overlay overlay;
  overlay.needs_attention = true;
  overlay.remedy = "merge /vm/x by hand";
  host("kvm-1").SetOverlay(VmUuid("web-1"), overlay);
  const auto why_not = [&] {
    return ErrorReason(
        Create("web-1", "x", [](auto& request) { request.set_validate_only(true); }).status());
  };
  AwaitTrue([&] { return why_not() == "VM_ON_OVERLAY"; }, "the overlay is known");
  EXPECT_THAT(Retry(failed.id()), HasReason("VM_ON_OVERLAY"));
  host("kvm-1").SetOverlay(VmUuid("web-1"), std::nullopt);
  AwaitTrue([&] { return why_not().empty(); }, "it is merged");
  EXPECT_THAT(Retry(failed.id()), IsOk());
}

// The two repositories change their places between the tries: the UUID counts, not the slot.
TEST_F(RetryTest, ItGoesToTheRepositoryWhereFilesOfTheFailedTryMayLieWhicheverSlotThatIs) {
  const pb::Backup failed = Failed("nightly", /*files_may_remain=*/true);
  EXPECT_EQ(failed.repository(), 1);
  pb::ListRepositoriesRequest request;
  const auto second = [&] {
    return Do<pb::ListRepositoriesResponse>([&](auto* context, auto* answer) {
             return inventory_->ListRepositories(context, request, answer);
           })
        ->repositories(1)
        .id();
  };
  const std::string other = second();
  host("kvm-1").SetRepository(1, controller::Health::kHealthy, other);
  host("kvm-1").SetRepository(2, controller::Health::kHealthy, failed.repository_id());
  AwaitTrue([&] { return second() == failed.repository_id(); }, "they changed places");
  EXPECT_THAT(Retry(failed.id()), IsOk());
  const pb::Backup building = AwaitState(failed.id(), pb::Backup::BUILDING);
  EXPECT_EQ(building.repository_id(), failed.repository_id());
  EXPECT_EQ(building.repository(), 2);
}

TEST_F(RetryTest, AVmThatMovedOnIsTriedWhereItIsUnlessFilesMayLieWhereItWas) {
  const pb::Backup clean = Failed("clean");
  const pb::Backup with_files = Failed("with files", /*files_may_remain=*/true);
  AddHost("kvm-2", {"web-1"}).FinishAtOnce(false);
  host("kvm-1").SetPower(VmUuid("web-1"), controller::PowerState::kOff);
  pb::GetVmRequest request;
  request.set_id("web-1");
  AwaitTrue(
      [&] {
        const auto vm = Do<pb::Vm>([&](auto* context, auto* answer) {
          return inventory_->GetVm(context, request, answer);
        });
        return vm.ok() && vm->host_id() == "kvm-2";
      },
      "it runs on kvm-2");
  const absl::Status refused = Retry(with_files.id()).status();
  EXPECT_THAT(refused, AllOf(StatusIs(absl::StatusCode::kFailedPrecondition),
                             HasReason("FILES_ON_OTHER_HOST")));
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr("kvm-1"), HasSubstr("kvm-2"), HasSubstr("scrub")));
  EXPECT_THAT(*Get(with_files.id()), InState(pb::Backup::UNRESOURCED)) << "nothing was changed";
  EXPECT_THAT(Retry(clean.id()), IsOk());
  EXPECT_EQ(AwaitState(clean.id(), pb::Backup::BUILDING).host_id(), "kvm-2");
}

TEST_F(RetryTest, PatternsInANameBecomeTheDayAndTheTime) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup created, Create("web-1", "nightly {date} {time}"));
  EXPECT_THAT(created.name(), MatchesRegex("nightly [0-9-]{10} [0-9:]{8}"));
  const absl::Time at = absl::FromUnixSeconds(created.create_time().seconds());
  EXPECT_EQ(created.name(), absl::FormatTime("nightly %Y-%m-%d %H:%M:%S", at, absl::UTCTimeZone()));
  AwaitTrue([&] { return host("kvm-1").Finish(created.id()); }, "the task is there");
  AwaitState(created.id(), pb::Backup::RUNNING);
  const absl::Status taken = Create("web-1", created.name()).status();
  EXPECT_THAT(taken, HasReason("NAME_TAKEN"));
  EXPECT_THAT(std::string(taken.message()), HasSubstr("{date}"));
  // A rename is a name too.
  pb::UpdateBackupRequest rename;
  rename.set_id(created.id());
  rename.set_name("kept {date}");
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup renamed, Update(rename));
  EXPECT_THAT(renamed.name(), MatchesRegex("kept [0-9-]{10}"));
  rename.set_name(std::string(123, 'x') + "{date}");
  EXPECT_THAT(Update(rename), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(Get(created.id())->name(), renamed.name());
  EXPECT_THAT(Create("web-1", std::string(123, 'x') + "{date}"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace vmkeep::test
