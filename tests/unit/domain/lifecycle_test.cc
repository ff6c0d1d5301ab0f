#include "controller/domain/lifecycle.h"

#include "controller/domain/states.h"
#include "tests/support/status_matchers.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <ostream>
#include <string>
#include <vector>

namespace vmkeep::controller {

void PrintTo(const BackupRecord& record, std::ostream* out) { *out << StateName(record.state); }

namespace {

using enum BackupState;
using ::testing::AllOf;
using vmkeep::test::HasReason;
using vmkeep::test::IsOk;
using vmkeep::test::StatusIs;

const absl::Time kSnapshot = absl::FromUnixSeconds(1'750'000'100);
const absl::Time kEnd = absl::FromUnixSeconds(1'750'000'900);

Failure Passing(std::string reason = "EXECUTOR_BUSY") {
  Failure failure;
  failure.reason = std::move(reason);
  failure.message = "try again";
  failure.retryable = true;
  failure.time = kEnd;
  return failure;
}
Failure Lasting() {
  Failure failure = Passing("NO_SPACE");
  failure.retryable = false;
  return failure;
}

// A failure that is the repository's.
Failure Stalled(std::string phase = "COPYING") {
  Failure failure = Passing("COPY_STALLED");
  failure.phase = std::move(phase);
  return failure;
}

BackupRecord Requested() {
  BackupRecord record;
  record.id = "b-1";
  record.vm_uuid = "vm-1";
  return record;
}
BackupRecord Building() { return *BeginTask(Requested(), "t-1", 1, "repo-1", "asked for", 500); }
BackupRecord Scrubbing();

ExecutorEvent Event(const BackupRecord& record, decltype(ExecutorEvent::body) body) {
  ExecutorEvent event;
  event.sequence = 1;
  event.time = kEnd;
  event.task = {record.task_id, record.epoch};
  event.backup_id = record.id;
  event.body = std::move(body);
  return event;
}

TaskEnded Done() {
  TaskEnded ended;
  ended.outcome = Outcome::kDone;
  ended.snapshot_taken = true;
  ended.backup =
      BackupResult{kSnapshot, Consistency::kFilesystem, 100, 60, 61, "sha", {{"sdb", "LUN"}}, true};
  return ended;
}
TaskEnded Failed(Failure failure, bool snapshot_taken = false, bool files = false) {
  TaskEnded ended;
  ended.outcome = Outcome::kFailed;
  ended.failure = std::move(failure);
  ended.snapshot_taken = snapshot_taken;
  ended.files_may_remain = files;
  return ended;
}
TaskEnded Cancelled(bool files = false) {
  TaskEnded ended;
  ended.outcome = Outcome::kCancelled;
  ended.files_may_remain = files;
  return ended;
}

BackupRecord After(const BackupRecord& record, TaskEnded ended) {
  const std::optional<BackupRecord> next = ApplyEvent(record, Event(record, std::move(ended)));
  EXPECT_TRUE(next.has_value());
  return next.value_or(BackupRecord());
}
BackupRecord Running() { return After(Building(), Done()); }
BackupRecord Scrub(const BackupRecord& record) { return *RequestScrub(record); }
BackupRecord Scrubbing() { return *BeginTask(Scrub(Running()), "t-2", 0, "", "", 0); }
BackupRecord Closed() { return After(Scrubbing(), Done()); }
BackupRecord Unresourced() { return After(Building(), Failed(Lasting(), true)); }

// Every way in which a record can stand.
std::map<std::string, BackupRecord> Stands() {
  return {
      {"requested", Requested()},
      {"requested again", After(Building(), Failed(Passing()))},
      {"moved", After(Building(), Failed(Stalled(), true, true))},
      {"building", Building()},
      {"unresourced", Unresourced()},
      {"unresourced with files", After(Building(), Failed(Lasting(), true, true))},
      {"running", Running()},
      {"scrub of requested", Scrub(Requested())},
      {"scrub of building", Scrub(Building())},
      {"scrub of running", Scrub(Running())},
      {"scrubbing", Scrubbing()},
      {"closed", Closed()},
  };
}

TEST(LifecycleTest, BeginningATaskTakesThePlacementAndRaisesTheEpoch) {
  const BackupRecord building = Building();
  EXPECT_EQ(building.state, kBuilding);
  EXPECT_EQ(building.epoch, 1);
  EXPECT_EQ(building.task_id, "t-1");
  EXPECT_TRUE(building.task_open);
  EXPECT_FALSE(building.task_is_scrub);
  EXPECT_EQ(building.repository, 1);
  EXPECT_EQ(building.repository_id, "repo-1");
  EXPECT_EQ(building.placement_reason, "asked for");
  EXPECT_EQ(building.reserved_bytes, 500);
}

TEST(LifecycleTest, AScrubGoesWhereTheFilesAre) {
  const BackupRecord scrubbing = *BeginTask(Scrub(Running()), "t-2", 2, "elsewhere", "a slip", 9);
  EXPECT_EQ(scrubbing.state, kScrubbing);
  EXPECT_EQ(scrubbing.epoch, 2);
  EXPECT_TRUE(scrubbing.task_is_scrub);
  EXPECT_EQ(scrubbing.repository, 1);
  EXPECT_EQ(scrubbing.repository_id, "repo-1");
  EXPECT_EQ(scrubbing.reserved_bytes, 0);
  // Mounted as the other slot by now.
  EXPECT_EQ(BeginTask(Scrub(Running()), "t-2", 2, "repo-1", "", 0)->repository, 2);
}

TEST(LifecycleTest, OnlyWhatWaitsForATaskGetsOne) {
  for (const auto& [name, record] : Stands()) {
    const Need need = NeedOf(record);
    const bool waits = need == Need::kBackupTask || need == Need::kScrubTask;
    const absl::StatusOr<BackupRecord> begun = BeginTask(record, "t-9", 1, "repo-1", "", 0);
    EXPECT_EQ(begun.ok(), waits) << name;
    if (!waits) {
      EXPECT_THAT(begun, AllOf(StatusIs(absl::StatusCode::kAborted), HasReason("STALE_TASK")))
          << name;
    }
  }
}

TEST(LifecycleTest, WhatTheSchedulerOwes) {
  const std::map<std::string, Need> expected = {
      {"requested", Need::kBackupTask},
      {"requested again", Need::kBackupTask},
      {"moved", Need::kBackupTask},
      {"building", Need::kAwaitTask},
      {"unresourced", Need::kNothing},
      {"unresourced with files", Need::kNothing},
      {"running", Need::kNothing},
      {"scrub of requested", Need::kCloseNow},
      {"scrub of building", Need::kCancelTask},
      {"scrub of running", Need::kScrubTask},
      {"scrubbing", Need::kAwaitTask},
      {"closed", Need::kNothing},
  };
  for (const auto& [name, record] : Stands()) EXPECT_EQ(NeedOf(record), expected.at(name)) << name;
}

TEST(LifecycleTest, DoneIsRunningWithAllOfTheResult) {
  const BackupRecord running = Running();
  EXPECT_EQ(running.state, kRunning);
  EXPECT_EQ(running.time_valid, kSnapshot);
  EXPECT_EQ(running.consistency, Consistency::kFilesystem);
  EXPECT_EQ(running.virtual_bytes, 100);
  EXPECT_EQ(running.data_bytes, 60);
  EXPECT_EQ(running.stored_bytes, 61);
  EXPECT_EQ(running.manifest_sha256, "sha");
  EXPECT_EQ(running.excluded_disks, (std::vector<ExcludedDisk>{{"sdb", "LUN"}}));
  EXPECT_TRUE(running.simulated);
  EXPECT_EQ(running.reserved_bytes, 0);
  EXPECT_FALSE(running.task_open);
  EXPECT_TRUE(running.files_may_exist);
  EXPECT_FALSE(running.failure.has_value());
}

TEST(LifecycleTest, DoneWithoutAResultIsNeverRunning) {
  TaskEnded ended = Done();
  ended.backup.reset();
  const BackupRecord record = After(Building(), ended);
  EXPECT_EQ(record.state, kUnresourced);
  EXPECT_EQ(record.failure->reason, "BAD_REPORT");
  EXPECT_TRUE(record.files_may_exist);
}

TEST(LifecycleTest, TheSnapshotsInstantIsTheTimeValid) {
  const BackupRecord building = Building();
  const StepDone snapshot{"snapshot", "", kSnapshot};
  const std::optional<BackupRecord> next = ApplyEvent(building, Event(building, snapshot));
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(next->time_valid, kSnapshot);
  EXPECT_EQ(next->state, kBuilding);
  EXPECT_EQ(ApplyEvent(*next, Event(*next, snapshot)), std::nullopt);  // told again
  EXPECT_EQ(ApplyEvent(building, Event(building, StepDone{"copy", "vda", {}})), std::nullopt);
  // It stays on a record that failed later.
  EXPECT_EQ(After(*next, Failed(Lasting(), true)).time_valid, kSnapshot);
}

TEST(LifecycleTest, SoIsThatOfAnExport) {
  const BackupRecord building = Building();
  const std::optional<BackupRecord> next =
      ApplyEvent(building, Event(building, StepDone{"export", "", kSnapshot}));
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(next->time_valid, kSnapshot);
  EXPECT_EQ(ApplyEvent(building, Event(building, StepDone{"end_export", "", {}})), std::nullopt);
}

TEST(LifecycleTest, APassingFailureBeforeTheSnapshotIsTriedAgainThreeTimes) {
  BackupRecord record = Building();
  for (int attempt = 1; attempt <= kMaxAttempts; ++attempt) {
    record = After(record, Failed(Passing()));
    EXPECT_EQ(record.state, kRequested);
    EXPECT_EQ(record.attempts, attempt);
    EXPECT_EQ(record.failure->reason, "EXECUTOR_BUSY");
    EXPECT_EQ(record.reserved_bytes, 0);
    EXPECT_EQ(record.repository, 0);
    EXPECT_FALSE(record.files_may_exist);
    record = *BeginTask(record, absl::StrCat("t-", attempt + 1), 2, "repo-2", "", 500);
    EXPECT_EQ(record.epoch, attempt + 1);
    EXPECT_FALSE(record.failure.has_value());
  }
  record = After(record, Failed(Passing()));
  EXPECT_EQ(record.state, kUnresourced);
  EXPECT_TRUE(record.failure->retryable);
}

TEST(LifecycleTest, OtherFailuresAreForGood) {
  EXPECT_EQ(After(Building(), Failed(Lasting())).state, kUnresourced);
  EXPECT_EQ(After(Building(), Failed(Passing(), /*snapshot_taken=*/true)).state, kUnresourced);
  EXPECT_EQ(After(Building(), Cancelled()).state, kUnresourced);
  TaskEnded on_overlay = Failed(Passing());  // contradicts itself: the careful reading counts
  on_overlay.vm_on_overlay = true;
  const BackupRecord record = After(Building(), on_overlay);
  EXPECT_EQ(record.state, kUnresourced);
  EXPECT_TRUE(record.vm_on_overlay);
}

TEST(LifecycleTest, AfterTheRepositorysFaultItMovesAndPinsNothing) {
  for (const bool files : {false, true}) {
    const BackupRecord moved = After(Building(), Failed(Stalled(), true, files));
    EXPECT_EQ(moved.state, kRequested);
    EXPECT_EQ(NeedOf(moved), Need::kBackupTask);
    EXPECT_EQ(moved.attempts, 0);
    EXPECT_FALSE(moved.files_may_exist);
    EXPECT_EQ(moved.repository_id, "");
    EXPECT_EQ(moved.failure->reason, "COPY_STALLED");  // until the next try begins
    ASSERT_EQ(moved.left_repositories.size(), 1u);
    EXPECT_EQ(moved.left_repositories[0].id, "repo-1");
    EXPECT_EQ(moved.left_repositories[0].why,
              "moved away from repository 1 (primary), which failed in COPYING: COPY_STALLED");
    // Cancelled now, there is nothing of it to remove.
    EXPECT_EQ(NeedOf(Scrub(moved)), Need::kCloseNow);
  }
}

TEST(LifecycleTest, ALastingFaultOfTheRepositoryMovesItToo) {
  Failure absent = Lasting();
  absent.reason = "REPOSITORY_NOT_MOUNTED";
  EXPECT_EQ(After(Building(), Failed(absent)).left_repositories.size(), 1u);
  absent.reason = "REPOSITORY_NOT_CONFIGURED";  // the executor says so when it is asked to start
  const BackupRecord refused = *RejectTask(Building(), 1, absent);
  EXPECT_EQ(refused.state, kRequested);
  EXPECT_EQ(refused.left_repositories.size(), 1u);
}

TEST(LifecycleTest, ItDoesNotMove) {
  BackupRecord named = Building();
  named.requested_repository = 1;
  EXPECT_EQ(After(named, Failed(Stalled(), true)).state, kUnresourced) << "this one was asked for";
  EXPECT_TRUE(After(named, Failed(Stalled(), true)).failure->retryable);
  TaskEnded on_overlay = Failed(Stalled(), true);
  on_overlay.vm_on_overlay = true;
  EXPECT_EQ(After(Building(), on_overlay).state, kUnresourced) << "the VM is not merged";
  const BackupRecord published = After(Building(), Failed(Stalled("PUBLISHING"), true, true));
  EXPECT_EQ(published.state, kUnresourced) << "it may be there under its final name";
  EXPECT_TRUE(published.files_may_exist);
  EXPECT_EQ(published.repository_id, "repo-1");
  BackupRecord with_files = Building();
  with_files.files_may_exist = true;
  EXPECT_EQ(After(with_files, Failed(Stalled(), true)).state, kUnresourced) << "as an earlier try";
  EXPECT_EQ(After(Building(), Failed(Passing(), true)).state, kUnresourced) << "not its fault";
  EXPECT_EQ(After(Scrub(Building()), Failed(Stalled(), true)).state, kClosed) << "cancelled";
  EXPECT_EQ(After(Scrub(Building()), Failed(Stalled(), true, true)).state, kScrub);
}

// Before the snapshot it has its attempts as ever; where the last one failed is said to placement.
TEST(LifecycleTest, BeforeTheSnapshotTheRepositorysFaultIsAnAttemptAndThenAMove) {
  BackupRecord record = Building();
  for (int attempt = 1; attempt <= kMaxAttempts; ++attempt) {
    record = After(record, Failed(Stalled("PREFLIGHT")));
    EXPECT_EQ(record.attempts, attempt);
    EXPECT_TRUE(record.left_repositories.empty());
    EXPECT_EQ(record.failure->metadata.at("repository_id"), "repo-1");
    record = *BeginTask(record, absl::StrCat("t-", attempt + 1), 1, "repo-1", "", 0);
  }
  record = After(record, Failed(Stalled("PREFLIGHT")));
  EXPECT_EQ(record.state, kRequested);
  EXPECT_EQ(record.left_repositories.size(), 1u);
}

TEST(LifecycleTest, WhatMovedAndFindsNoPlaceFailsWithWhatMovedIt) {
  const BackupRecord moved = After(Building(), Failed(Stalled(), true, true));
  Failure no_place = Passing("NO_REPOSITORY");
  no_place.message = "none is left";
  const BackupRecord failed = *RejectTask(moved, 1, no_place);
  EXPECT_EQ(failed.state, kUnresourced);
  EXPECT_EQ(failed.failure->reason, "COPY_STALLED");
  EXPECT_TRUE(failed.failure->retryable);
  EXPECT_THAT(failed.failure->message, ::testing::HasSubstr("none is left"));
  // Asked for again, it may go anywhere.
  EXPECT_TRUE(RequestRetry(failed)->left_repositories.empty());
}

TEST(LifecycleTest, UnresourcedKeepsTheMemoryOfFiles) {
  EXPECT_FALSE(After(Building(), Failed(Lasting(), true, false)).files_may_exist);
  const BackupRecord with_files = After(Building(), Failed(Lasting(), true, true));
  EXPECT_TRUE(with_files.files_may_exist);
  EXPECT_EQ(NeedOf(Scrub(with_files)), Need::kScrubTask);
}

TEST(LifecycleTest, FilesOfAnEarlierTryAreNotForgottenByALaterOne) {
  BackupRecord record = After(Building(), Failed(Passing(), false, true));
  EXPECT_EQ(record.state, kRequested);
  EXPECT_EQ(record.repository_id, "repo-1");  // where they are
  record = *BeginTask(record, "t-2", 1, "repo-1", "", 0);
  record = After(record, Failed(Lasting()));
  EXPECT_TRUE(record.files_may_exist);
}

TEST(LifecycleTest, OnlyWhatFailedForGoodIsRetried) {
  for (const auto& [name, record] : Stands()) {
    const absl::StatusOr<BackupRecord> retried = RequestRetry(record);
    if (record.state != kUnresourced) {
      EXPECT_THAT(retried, AllOf(StatusIs(absl::StatusCode::kFailedPrecondition),
                                 HasReason("ILLEGAL_TRANSITION")))
          << name;
      continue;
    }
    ASSERT_THAT(retried, IsOk()) << name;
    EXPECT_EQ(retried->state, kRequested) << name;
    EXPECT_FALSE(retried->failure.has_value()) << name;
    EXPECT_EQ(retried->attempts, 0) << name;
    EXPECT_FALSE(retried->time_valid.has_value()) << name;
    EXPECT_EQ(NeedOf(*retried), Need::kBackupTask) << name;
    // The next epoch fences the failed try.
    EXPECT_EQ(BeginTask(*retried, "t-9", 1, "repo-1", "", 0)->epoch, record.epoch + 1) << name;
    // It is placed anew, unless files lie where the failed try was.
    EXPECT_EQ(retried->repository, record.files_may_exist ? record.repository : 0) << name;
  }
}

TEST(LifecycleTest, ScrubIsAllowedFromEverywhereButClosed) {
  for (const auto& [name, record] : Stands()) {
    const absl::StatusOr<BackupRecord> scrub = RequestScrub(record);
    if (record.state == kClosed) {
      EXPECT_THAT(scrub, AllOf(StatusIs(absl::StatusCode::kFailedPrecondition),
                               HasReason("ILLEGAL_TRANSITION")));
    } else if (record.state == kScrub || record.state == kScrubbing) {
      EXPECT_EQ(*scrub, record) << name;
    } else {
      BackupRecord expected = record;
      expected.state = kScrub;
      EXPECT_EQ(*scrub, expected) << name;
    }
  }
}

TEST(LifecycleTest, ACancelledBackupWithoutFilesIsClosed) {
  for (const TaskEnded& ended : {Cancelled(), Failed(Lasting(), true), Failed(Passing())}) {
    const BackupRecord record = After(Scrub(Building()), ended);
    EXPECT_EQ(record.state, kClosed);
    EXPECT_FALSE(record.task_open);
    EXPECT_EQ(record.reserved_bytes, 0);
    EXPECT_EQ(record.scrub_level, "");  // nothing was removed: nothing is claimed
  }
}

TEST(LifecycleTest, ACancelledBackupWithFilesIsScrubbed) {
  for (const TaskEnded& ended : {Cancelled(true), Failed(Lasting(), true, true), Done()}) {
    const BackupRecord record = After(Scrub(Building()), ended);
    EXPECT_EQ(record.state, kScrub);
    EXPECT_EQ(NeedOf(record), Need::kScrubTask);
  }
}

TEST(LifecycleTest, AScrubThatIsDoneClosesTheRecord) {
  const BackupRecord closed = Closed();
  EXPECT_EQ(closed.state, kClosed);
  EXPECT_EQ(closed.scrub_level, "REMOVED");
  EXPECT_FALSE(closed.files_may_exist);
  EXPECT_EQ(closed.manifest_sha256, "sha");  // for audit
}

TEST(LifecycleTest, AScrubThatFailedIsOwedAgain) {
  for (const TaskEnded& ended : {Failed(Lasting()), Failed(Passing()), Cancelled()}) {
    const BackupRecord record = After(Scrubbing(), ended);
    EXPECT_EQ(record.state, kScrub);
    EXPECT_EQ(NeedOf(record), Need::kScrubTask);
    EXPECT_EQ(record.failure->phase, "REMOVING");
    const BackupRecord closed = After(*BeginTask(record, "t-3", 0, "", "", 0), Done());
    EXPECT_EQ(closed.state, kClosed);
    EXPECT_FALSE(closed.failure.has_value());
  }
}

TEST(LifecycleTest, WhyTheBackupFailedOutlivesItsScrub) {
  const BackupRecord unresourced = After(Building(), Failed(Lasting(), true, true));
  const BackupRecord closed = After(*BeginTask(Scrub(unresourced), "t-2", 0, "", "", 0), Done());
  EXPECT_EQ(closed.state, kClosed);
  EXPECT_EQ(closed.failure->reason, "NO_SPACE");
}

TEST(LifecycleTest, ARefusedTaskIsTriedAgainOrGivenUp) {
  const BackupRecord again = *RejectTask(Building(), 1, Passing());
  EXPECT_EQ(again.state, kRequested);
  EXPECT_EQ(again.attempts, 1);
  EXPECT_FALSE(again.task_open);
  EXPECT_FALSE(again.files_may_exist);
  EXPECT_EQ(RejectTask(Building(), 1, Lasting())->state, kUnresourced);
  // Placement refused it before any dispatch.
  EXPECT_EQ(RejectTask(Requested(), 0, Passing())->state, kRequested);
  EXPECT_EQ(RejectTask(Requested(), 0, Passing())->attempts, 1);
  EXPECT_EQ(RejectTask(Requested(), 0, Lasting())->state, kUnresourced);
}

TEST(LifecycleTest, ARefusedScrubIsOwedAgain) {
  for (const BackupRecord& record : {Scrubbing(), Scrub(Running())}) {
    const BackupRecord rejected = *RejectTask(record, record.epoch, Lasting());
    EXPECT_EQ(rejected.state, kScrub);
    EXPECT_EQ(NeedOf(rejected), Need::kScrubTask);
    EXPECT_EQ(rejected.failure->reason, "NO_SPACE");
  }
}

// The host does not know the task: it may have ended with its files published, and the news is
// still under way. Closing the record here would leave them for good.
TEST(LifecycleTest, ATaskThatTheHostDoesNotKnowIsScrubbedAllTheSame) {
  const BackupRecord rejected = *RejectTask(Scrub(Building()), 1, Lasting());
  EXPECT_EQ(rejected.state, kScrub);
  EXPECT_EQ(NeedOf(rejected), Need::kScrubTask);
}

TEST(LifecycleTest, RefusalsThatComeTooLateChangeNothing) {
  EXPECT_THAT(RejectTask(Building(), 2, Passing()), HasReason("STALE_TASK"));
  for (const BackupRecord& record : {Running(), Closed(), Unresourced()}) {
    EXPECT_THAT(RejectTask(record, record.epoch, Passing()), HasReason("STALE_TASK"));
  }
}

TEST(LifecycleTest, OnlyAScrubWithoutFilesIsClosedWithoutATask) {
  for (const auto& [name, record] : Stands()) {
    const absl::StatusOr<BackupRecord> closed = CloseWithoutTask(record);
    EXPECT_EQ(closed.ok(), name == "scrub of requested") << name;
    if (closed.ok()) {
      EXPECT_EQ(closed->state, kClosed);
    } else {
      EXPECT_THAT(closed, HasReason("STALE_TASK"));
    }
  }
}

// Every state x every event and request: each move is an edge, an ended task is closed and holds no
// space, and what is of another epoch or task, or comes after the end, moves nothing.
TEST(LifecycleTest, EveryMoveIsAnEdgeWhateverHappens) {
  std::vector<TaskEnded> ends;
  for (const Outcome outcome : {Outcome::kDone, Outcome::kFailed, Outcome::kCancelled}) {
    for (int bits = 0; bits < 32; ++bits) {
      TaskEnded ended;
      ended.outcome = outcome;
      if (bits & 1) ended.failure = Passing();
      if (bits & 2) ended.backup = Done().backup;
      ended.files_may_remain = bits & 4;
      ended.vm_on_overlay = bits & 8;
      ended.snapshot_taken = bits & 16;
      ends.push_back(ended);
    }
  }
  const auto is_edge = [](const BackupRecord& from, const BackupRecord& to) {
    return from.state == to.state || MayGo(from.state, to.state);
  };
  for (const auto& [name, record] : Stands()) {
    for (const TaskEnded& ended : ends) {
      const ExecutorEvent event = Event(record, ended);
      const std::optional<BackupRecord> next = ApplyEvent(record, event);
      ASSERT_EQ(next.has_value(), record.task_open) << name;
      if (!next) continue;
      EXPECT_TRUE(is_edge(record, *next)) << name << " -> " << StateName(next->state);
      EXPECT_FALSE(next->task_open);
      EXPECT_EQ(next->reserved_bytes, 0);
      EXPECT_EQ(next->epoch, record.epoch);
      EXPECT_EQ(ApplyEvent(*next, event), std::nullopt) << "told again";
      EXPECT_TRUE(next->state != kRunning || next->manifest_sha256 == "sha");
      EXPECT_TRUE(next->state != kClosed || !next->files_may_exist);
      EXPECT_TRUE(next->state != kUnresourced || !next->failure->reason.empty());

      ExecutorEvent old_epoch = event;
      --old_epoch.task.epoch;
      EXPECT_EQ(ApplyEvent(record, old_epoch), std::nullopt) << name;
      ExecutorEvent other_task = event;
      other_task.task.task_id = "another";
      EXPECT_EQ(ApplyEvent(record, other_task), std::nullopt) << name;
    }
    EXPECT_EQ(ApplyEvent(record, Event(record, TaskProgress{})), std::nullopt);
    EXPECT_EQ(ApplyEvent(record, Event(record, InventoryChanged{})), std::nullopt);
    for (const Failure& failure : {Passing(), Lasting()}) {
      const absl::StatusOr<BackupRecord> rejected = RejectTask(record, record.epoch, failure);
      EXPECT_TRUE(!rejected.ok() || is_edge(record, *rejected)) << name;
    }
    const absl::StatusOr<BackupRecord> begun = BeginTask(record, "t", 1, "r", "", 1);
    EXPECT_TRUE(!begun.ok() || is_edge(record, *begun)) << name;
  }
}

}  // namespace
}  // namespace vmkeep::controller
