#include "executor/task/task_manager.h"

#include "common/error.h"
#include "common/process/process.h"
#include "common/uuid.h"
#include "executor/hypervisor/errors.h"
#include "executor/task/overlay_keeper.h"
#include "executor/task/worker_job.h"
#include "tests/unit/task/task_manager_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::executor {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::vmkeep::test::HasReason;
using ::vmkeep::test::IsOk;
using ::vmkeep::test::IsOkAndHolds;

TEST_F(TaskManagerTest, BackupAsksTheWorkerForEachJobOnce) {
  EXPECT_EQ(End(Started()).outcome(), v1::TaskEnded::DONE);
  EXPECT_THAT(worker_.jobs(),
              ::testing::ElementsAre("probe", "copy disk-vda.raw", "copy disk-vdb.raw", "publish"));
  EXPECT_EQ(OverlayFiles(), 0);
}

TEST_F(TaskManagerTest, RepositoryWithoutRoomFailsBeforeTheVmIsTouched) {
  worker_.free_bytes = 1000;
  const v1::TaskEnded ended = End(Started());
  EXPECT_EQ(ended.failure().reason(), "REPOSITORY_FULL");
  EXPECT_EQ(ended.failure().metadata().at("free_bytes"), "1000");
  EXPECT_TRUE(ended.failure().retryable());
  EXPECT_FALSE(ended.snapshot_taken());
  EXPECT_THAT(worker_.jobs(), SizeIs(1)) << "nothing to discard";
}

TEST_F(TaskManagerTest, HostWithoutRoomForOverlaysFailsBeforeTheVmIsTouched) {
  free_ = 1000;
  const v1::TaskEnded ended = End(Started());
  EXPECT_EQ(ended.failure().reason(), "OVERLAY_SPACE");
  EXPECT_EQ(ended.failure().phase(), "PREFLIGHT");
  EXPECT_FALSE(ended.snapshot_taken());
}

TEST_F(TaskManagerTest, WatermarkGivesTheCopyUpAndMerges) {
  worker_.on_copy = [this](const std::stop_token& stop) -> absl::Status {
    free_ = (1 << 20) / 2 - 1;  // the guest wrote a lot
    Eventually([&] { return stop.stop_requested(); });
    return MakeError(absl::StatusCode::kCancelled, "CANCELLED", "cancelled");
  };
  const v1::TaskEnded ended = End(Started());
  EXPECT_EQ(ended.outcome(), v1::TaskEnded::FAILED);
  EXPECT_EQ(ended.failure().reason(), "OVERLAY_SPACE");
  EXPECT_EQ(ended.failure().phase(), "COPYING");
  EXPECT_FALSE(ended.vm_on_overlay());
  EXPECT_EQ(OverlayFiles(), 0);
  EXPECT_EQ(worker_.jobs().back(), "discard");
}

TEST_F(TaskManagerTest, BlockDeviceNeedsAFolderForItsOverlay) {
  ON_CALL(hypervisor_, Describe).WillByDefault([this](absl::string_view uuid) {
    absl::StatusOr<VmDescription> vm = sim_.Describe(uuid);
    if (vm.ok()) vm->disks[1].block_device = true;
    return vm;
  });
  v1::TaskEnded ended = End(Started());
  EXPECT_EQ(ended.failure().reason(), "CANNOT_BACK_UP");
  EXPECT_THAT(ended.failure().message(), HasSubstr("--overlay_dir"));
  EXPECT_FALSE(ended.snapshot_taken());

  options_.overlay_dir = folder_.path("overlays");
  Restart();
  ended = End(Started());
  EXPECT_THAT(ended.failure().message(), HasSubstr("make it, or mount it"));

  std::filesystem::create_directory(options_.overlay_dir);
  SnapshotPlan plan;
  EXPECT_CALL(hypervisor_, Snapshot).WillOnce([&](const SnapshotPlan& asked) {
    plan = asked;
    return sim_.Snapshot(asked);
  });
  EXPECT_EQ(End(Started()).outcome(), v1::TaskEnded::DONE);
  ASSERT_THAT(plan.disks, SizeIs(2));
  EXPECT_EQ(std::filesystem::path(plan.disks[0].overlay).parent_path(),
            std::filesystem::path(plan.disks[0].base).parent_path());
  EXPECT_EQ(std::filesystem::path(plan.disks[1].overlay).parent_path(), options_.overlay_dir);
}

TEST_F(TaskManagerTest, ReplacedDiskIsNotCopied) {
  worker_.on_probe = [this] {
    const std::string disk = folder_.path("vms/" + SimVmUuid("web-1") + "/vda.raw");
    std::filesystem::copy_file(disk, disk + ".new");
    std::filesystem::rename(disk + ".new", disk);
  };
  const v1::TaskEnded ended = End(Started());
  EXPECT_EQ(ended.failure().reason(), "DISK_CHANGED");
  EXPECT_EQ(OverlayFiles(), 0);
}

TEST_F(TaskManagerTest, PublishWithoutAClearAnswerIsAskedAgain) {
  int asked = 0;
  worker_.on_publish = [&]() -> absl::Status {
    return ++asked == 1 ? MakeError(absl::StatusCode::kUnavailable, "WORKER_DIED", "died")
                        : absl::OkStatus();
  };
  EXPECT_EQ(End(Started()).outcome(), v1::TaskEnded::DONE);
  EXPECT_EQ(asked, 2);
}

// Or the event of the end could not be read back, and the controller would never hear of it.
TEST_F(TaskManagerTest, FailureThatIsNoUtf8IsTold) {
  worker_.on_copy = [](const std::stop_token&) { return absl::DataLossError("bad \xff\xfe file"); };
  const v1::TaskEnded ended = End(Started());
  EXPECT_EQ(ended.outcome(), v1::TaskEnded::FAILED);
  EXPECT_EQ(ended.failure().message(), "bad ?? file");
}

TEST_F(TaskManagerTest, PublishThatFailsLeavesNothingBehindPublishedOrNot) {
  worker_.on_publish = [] {
    return MakeError(absl::StatusCode::kResourceExhausted, "REPOSITORY_FULL", "full");
  };
  worker::v1::Discard asked;  // of both: what it finds is the worker's affair
  worker_.on_request = [&asked](const worker::v1::Request& request) {
    if (request.has_discard()) asked = request.discard();
  };
  const TaskRecord record = Started();
  EXPECT_EQ(End(record).failure().phase(), "PUBLISHING");
  EXPECT_EQ(worker_.jobs().back(), "discard");
  EXPECT_EQ(asked.incoming(), record.task.ToString());
  EXPECT_EQ(asked.backup_id(), record.backup_id);
  EXPECT_EQ(asked.vm_uuid(), record.vm_uuid);
}

TEST_F(TaskManagerTest, MergeDoesNotWaitForTheJournal) {
  worker_.on_copy = [this](const std::stop_token&) {
    BreakJournal(true);
    return absl::DataLossError("a bad sector");
  };
  const TaskRecord record = Started();
  EXPECT_TRUE(Eventually([this] { return worker_.jobs().size() >= 2 && Overlays().empty(); }));
  EXPECT_GT(OverlayFiles(), 0) << "unlinking waits for it";
  BreakJournal(false);
  const v1::TaskEnded ended = End(record);
  EXPECT_EQ(ended.outcome(), v1::TaskEnded::FAILED);
  EXPECT_EQ(ended.failure().phase(), "COPYING") << "the first failure is the one told";
}

TEST_F(TaskManagerTest, DiscardThatFailsIsToldAndTheScrubRemovesIt) {
  worker_.on_copy = [](const std::stop_token&) {
    return absl::UnavailableError("the NAS is gone");
  };
  worker_.on_discard = [] { return absl::UnavailableError("the NAS is gone"); };
  const TaskRecord backup = Started();
  const v1::TaskEnded ended = End(backup);
  EXPECT_TRUE(ended.files_may_remain());
  EXPECT_FALSE(ended.vm_on_overlay()) << "the merge waits for no NAS";
  EXPECT_THAT(journal_->Leftovers(), IsOkAndHolds(SizeIs(1)));
  worker_.on_discard = nullptr;
  EXPECT_EQ(End(Started(TaskKind::kScrub)).outcome(), v1::TaskEnded::DONE);
  const std::vector<std::string> jobs = worker_.jobs();
  EXPECT_EQ(jobs[jobs.size() - 2], "discard");
  EXPECT_EQ(jobs.back(), "scrub");
  EXPECT_THAT(journal_->Leftovers(), IsOkAndHolds(IsEmpty()));
}

TEST_F(TaskManagerTest, MergeThatCannotBeDoneIsToldAndTheKeeperDoesItLater) {
  hypervisor_.pivot_fails = true;
  const TaskRecord record = Started();
  const v1::TaskEnded ended = End(record);
  EXPECT_EQ(ended.outcome(), v1::TaskEnded::FAILED);
  EXPECT_EQ(ended.failure().reason(), "MERGE_DEADLINE");
  EXPECT_TRUE(ended.vm_on_overlay());
  EXPECT_EQ(OverlayFiles(), 2) << "nothing is unlinked";
  // The end may be acknowledged: what is left to do stays known.
  ASSERT_THAT(journal_->Acknowledge(*journal_->LastSequence()), IsOk());
  EXPECT_EQ(ErrorReason(sim_.Describe(record.vm_uuid).status()), "VM_ON_OVERLAY");

  hypervisor_.pivot_fails = false;
  OverlayKeeper keeper(*env_, *tasks_, [] {});
  keeper.Look({});
  EXPECT_THAT(Overlays(), IsEmpty());
  EXPECT_EQ(OverlayFiles(), 0);
  EXPECT_THAT(journal_->Stranded(), IsOkAndHolds(IsEmpty()));
}

// On the simulated hypervisor, whose guest is slowed down by what is set for it.
TEST_F(TaskManagerTest, GuestThatOutrunsItsMergeIsLimitedUntilItIsHome) {
  options_.merge_ladder.window = absl::Milliseconds(40);
  Restart();
  ASSERT_THAT(sim_.SetOutruns(SimVmUuid("web-1"), "vda", 2), IsOk());
  EXPECT_EQ(End(Started()).outcome(), v1::TaskEnded::DONE);
  EXPECT_THAT(sim_.HelpOf(SimVmUuid("web-1"), "vda"), IsOkAndHolds(MergeHelp{}));
  EXPECT_THAT(env_->alerts->All(), IsEmpty());
}

TEST_F(TaskManagerTest, GuestThatNothingHelpsAgainstIsAnAlertUntilTheKeeperBringsItHome) {
  options_.merge_ladder = {.window = absl::Milliseconds(40), .suspend_for = absl::Milliseconds(40)};
  Restart();
  ASSERT_THAT(sim_.SetOutruns(SimVmUuid("web-1"), "vda", 4), IsOk());
  const v1::TaskEnded ended = End(Started());
  EXPECT_EQ(ended.failure().reason(), "MERGE_DEADLINE");
  EXPECT_TRUE(ended.vm_on_overlay());
  EXPECT_THAT(sim_.HelpOf(SimVmUuid("web-1"), "vda"), IsOkAndHolds(MergeHelp{}));
  ASSERT_THAT(env_->alerts->All(), SizeIs(1));
  EXPECT_EQ(env_->alerts->All()[0].reason, "MERGE_DEADLINE");

  ASSERT_THAT(sim_.SetOutruns(SimVmUuid("web-1"), "vda", 0), IsOk());
  OverlayKeeper(*env_, *tasks_, [] {}).Look({});
  EXPECT_THAT(Overlays(), IsEmpty());
  EXPECT_THAT(env_->alerts->All(), IsEmpty());
}

// The executor dies with the guest limited: what it did is found on the VM, and taken back.
TEST_F(TaskManagerTest, LimitOfAnExecutorThatDiedIsTakenBack) {
  hypervisor_.pivot_fails = true;
  EXPECT_EQ(End(Started()).failure().reason(), "MERGE_DEADLINE");
  ASSERT_THAT(sim_.HelpMerge(Overlays()[0], {.write_bytes_per_second = 5}), IsOk());
  Restart();
  hypervisor_.pivot_fails = false;
  OverlayKeeper(*env_, *tasks_, [] {}).Look({});
  EXPECT_THAT(sim_.HelpOf(SimVmUuid("web-1"), "vda"), IsOkAndHolds(MergeHelp{}));
}

// In the step of the task, and in a look of the keeper when the merge was left to it.
TEST_F(TaskManagerTest, OverlaysStayAfterAFlushThatFailedUntilSomebodyRemovesThem) {
  for (const bool in_keeper : {false, true}) {
    SCOPED_TRACE(in_keeper);
    hypervisor_.pivot_fails = in_keeper;
    EXPECT_CALL(hypervisor_, Restore)
        .WillOnce(testing::Return(error::BaseNotFlushed("/vm/vda.raw", "Input/output error")));
    const v1::TaskEnded ended = End(Started());
    EXPECT_EQ(ended.vm_on_overlay(), in_keeper) << "after the loss it is on its base";
    EXPECT_EQ(ended.failure().reason(), in_keeper ? "MERGE_DEADLINE" : "BASE_NOT_FLUSHED");
    hypervisor_.pivot_fails = false;

    for (int look = 0; look < 2; ++look) {
      Restart();
      OverlayKeeper(*env_, *tasks_, [] {}).Look({});
      EXPECT_THAT(Overlays(), IsEmpty()) << "merged all the same";
      EXPECT_EQ(OverlayFiles(), 2);
    }
    testing::Mock::VerifyAndClearExpectations(&hypervisor_);
    EXPECT_THAT(journal_->Stranded(), IsOkAndHolds(SizeIs(1)));

    RemoveOverlayFiles();
    OverlayKeeper(*env_, *tasks_, [] {}).Look({});
    EXPECT_THAT(journal_->Stranded(), IsOkAndHolds(IsEmpty()));
  }
}

TEST_F(TaskManagerTest, KeeperLeavesTheOverlaysOfALiveTaskAlone) {
  std::atomic<bool> go = false;
  worker_.on_copy = [&](const std::stop_token&) {
    Eventually([&] { return go.load(); });
    return absl::OkStatus();
  };
  const TaskRecord record = Started();
  ASSERT_TRUE(Eventually([this] { return worker_.jobs().size() >= 2; }));
  OverlayKeeper keeper(*env_, *tasks_, [] {});
  keeper.Look({});
  EXPECT_THAT(Overlays(), SizeIs(2));
  go = true;
  EXPECT_EQ(End(record).outcome(), v1::TaskEnded::DONE);
}

TEST_F(TaskManagerTest, OneTaskPerVm) {
  std::atomic<bool> go = false;
  worker_.on_copy = [&](const std::stop_token&) {
    Eventually([&] { return go.load(); });
    return absl::OkStatus();
  };
  const TaskRecord record = Started();
  TaskRecord other = NewRecord();
  other.backup_id = NewUuid7(RealClock().Now());
  EXPECT_THAT(tasks_->Start(other), HasReason("VM_BUSY"));
  EXPECT_EQ(tasks_->Hold(record.vm_uuid, "a test"), nullptr);
  EXPECT_THAT(tasks_->Start(record), IsOkAndHolds(true)) << "the same one again";
  go = true;
  End(record);
  EXPECT_THAT(tasks_->Start(other), IsOkAndHolds(false)) << "as soon as the end is known";
  End(other);
}

TEST_F(TaskManagerTest, DrainMergesRecordsAndRefuses) {
  worker_.on_copy = Hang;
  const TaskRecord record = Started();
  ASSERT_TRUE(Eventually([this] { return worker_.jobs().size() >= 2; }));
  tasks_->Drain(absl::Seconds(20));
  EXPECT_EQ(End(record).failure().reason(), "EXECUTOR_STOPPED");
  EXPECT_EQ(OverlayFiles(), 0);
  EXPECT_THAT(tasks_->Start(NewRecord()), HasReason("EXECUTOR_STOPPED"));
}

TEST_F(TaskManagerTest, RecoveryWaitsForAHypervisorThatIsNotThereYet) {
  options_.merge_deadline = absl::Minutes(5);
  worker_.on_copy = Hang;
  const TaskRecord record = Started();
  ASSERT_TRUE(Eventually([this] { return worker_.jobs().size() >= 2; }));
  hypervisor_.unreachable = true;
  Restart();  // abandons the task in its copy
  EXPECT_THAT(journal_->Unfinished(), IsOkAndHolds(SizeIs(1)));
  EXPECT_THAT(Overlays(), SizeIs(2));

  worker_.on_copy = nullptr;
  ASSERT_THAT(tasks_->Recover(), IsOk());
  RealClock().WaitFor(absl::Milliseconds(300), {});
  EXPECT_THAT(journal_->Unfinished(), IsOkAndHolds(SizeIs(1))) << "still trying";
  hypervisor_.unreachable = false;
  const v1::TaskEnded ended = End(record);
  EXPECT_EQ(ended.outcome(), v1::TaskEnded::DONE) << "the copy needs no hypervisor";
  EXPECT_FALSE(ended.vm_on_overlay());
  EXPECT_EQ(OverlayFiles(), 0);
}

TEST_F(TaskManagerTest, WorkersOfACrashAreForgottenWhenTheyAreGone) {
  ASSERT_THAT(journal_->PutWorker({.pid = 1, .start_time = 1, .repository_id = "r"}), IsOk());
  EndLeftoverWorkers(*journal_);
  EXPECT_THAT(journal_->Workers(), IsOkAndHolds(IsEmpty())) << "pid 1 is another process by now";
}

// One that was killed and only needs a moment to end must not pass for one that hangs: its
// repository would be ill. Seen red: without the wait.
TEST_F(TaskManagerTest, WorkersOfACrashHaveAMomentToEnd) {
  for (int i = 0; i < 20; ++i) {
    VMKEEP_ASSERT_OK_AND_ASSIGN(const auto child, process::Spawn({.argv = {"sleep", "60"}}));
    ASSERT_THAT(journal_->PutWorker({child->id().pid, child->id().start_time, "r"}), IsOk());
    EndLeftoverWorkers(*journal_);
    EXPECT_THAT(journal_->Workers(), IsOkAndHolds(IsEmpty()));
  }
}

}  // namespace
}  // namespace vmkeep::executor
