#include "tests/unit/tasks/scheduler_fixture.h"

namespace vmkeep::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_F(SchedulerCoreTest, AHostThatWasNeverHeardOfIsNoConditionYet) {
  Happen(ev::RecordChanged{Request("b", "vm1")});
  EXPECT_THAT(last_, IsEmpty());
}

TEST_F(SchedulerCoreTest, AnUnreachableHostIsWaitedFor) {
  Happen({ev::HostOffline{"h1", "connection refused"}, ev::RecordChanged{Request("b", "vm1")}});
  EXPECT_THAT(Begun(), IsEmpty());
  EXPECT_THAT(shown_["b"]["HOST_UNREACHABLE"], HasSubstr("connection refused"));
  Happen(ev::HostOnline{"h1", {}});
  EXPECT_THAT(Begun(), ElementsAre("b"));
  EXPECT_THAT(shown_["b"], IsEmpty());
}

TEST_F(SchedulerCoreTest, ASilentHostLeavesTheBackupBuildingAndSaysSo) {
  Happen({ev::HostOnline{"h1", {}}});
  const BackupRecord record = Request("b", "vm1");
  Happen(ev::RecordChanged{record});
  const BackupRecord building = RunIt(record);
  Happen(ev::HostOffline{"h1", "no sign of life"});
  EXPECT_THAT(shown_["b"]["HOST_UNREACHABLE"], HasSubstr("no sign of life"));
  now_ += absl::Hours(200);
  Happen(ev::Tick{});
  EXPECT_THAT(last_, IsEmpty()) << "no clock fails or repeats it";
  EXPECT_EQ(core_.open_records(), 1U);
}

TEST_F(SchedulerCoreTest, AfterAReconnectATaskThatTheHostHasIsAttachedTo) {
  Happen({ev::HostOnline{"h1", {}}});
  const BackupRecord record = Request("b", "vm1");
  Happen(ev::RecordChanged{record});
  const BackupRecord building = RunIt(record);
  Happen(ev::HostOffline{"h1", "gone"});
  Happen(ev::HostOnline{"h1", {{{building.task_id, 1}, "b", false}}});
  EXPECT_THAT(Asked<cmd::StartTask>(), IsEmpty());
  EXPECT_THAT(Asked<cmd::CancelTask>(), IsEmpty());
  EXPECT_THAT(shown_["b"], IsEmpty());
}

TEST_F(SchedulerCoreTest, AfterAReconnectATaskThatTheHostDoesNotHaveIsSentAgainAsTheSameTry) {
  Happen({ev::HostOnline{"h1", {}}});
  const BackupRecord record = Request("b", "vm1");
  Happen(ev::RecordChanged{record});
  const BackupRecord building = RunIt(record);
  Happen(ev::HostOffline{"h1", "gone"});
  Happen(ev::HostOnline{"h1", {}});
  ASSERT_THAT(Asked<cmd::StartTask>(), SizeIs(1));
  EXPECT_EQ(Asked<cmd::StartTask>()[0].record.task_id, building.task_id);
  EXPECT_EQ(Asked<cmd::StartTask>()[0].record.epoch, 1);
}

TEST_F(SchedulerCoreTest, ATaskThatEndedAndIsNotReportedYetIsNotSentAgain) {
  Happen({ev::HostOnline{"h1", {}}});
  const BackupRecord record = Request("b", "vm1");
  Happen(ev::RecordChanged{record});
  const BackupRecord building = RunIt(record);
  Happen(ev::HostOffline{"h1", "gone"});
  Happen(ev::HostOnline{"h1", {{{building.task_id, 1}, "b", true}}});
  EXPECT_THAT(Asked<cmd::StartTask>(), IsEmpty());
}

TEST_F(SchedulerCoreTest, TasksThatNoRecordOwnsAreCancelled) {
  Happen(ev::HostOnline{"h1", {{{"stray", 3}, "unknown", false}, {{"over", 2}, "unknown", true}}});
  ASSERT_THAT(Asked<cmd::CancelTask>(), SizeIs(1));
  EXPECT_EQ(Asked<cmd::CancelTask>()[0].task.task_id, "stray");
  EXPECT_EQ(Asked<cmd::CancelTask>()[0].host, "h1");
}

TEST_F(SchedulerCoreTest, AfterARestartOfTheControllerOpenTasksAreAttachedTo) {
  BackupRecord building = Request("b", "vm1");
  building.state = BackupState::kBuilding;
  building.task_id = "t";
  building.epoch = 4;
  building.task_open = true;
  building.repository_id = "repo-1";
  Happen(ev::RecordChanged{building});
  EXPECT_THAT(last_, IsEmpty());
  EXPECT_EQ(core_.RunningOnHost("h1"), 1);
  Happen(ev::HostOnline{"h1", {{{"t", 4}, "b", false}}});
  EXPECT_THAT(last_, IsEmpty());
}

// Answers.

TEST_F(SchedulerCoreTest, ARefusalEndsTheTryAndALostAnswerSendsItAgain) {
  Happen({ev::HostOnline{"h1", {}}});
  const BackupRecord record = Request("b", "vm1");
  Happen(ev::RecordChanged{record});
  const BackupRecord building = Begin(record);
  Happen({ev::RecordChanged{building}, ev::Written{"b", absl::OkStatus()}});
  ASSERT_THAT(Asked<cmd::StartTask>(), SizeIs(1));
  const int64_t first = Asked<cmd::StartTask>()[0].call;

  Happen(ev::StartRefused{"b", first, absl::DeadlineExceededError("late")});
  EXPECT_THAT(Asked<cmd::RejectTask>(), IsEmpty()) << "it may have been accepted";
  EXPECT_THAT(shown_["b"]["HOST_UNREACHABLE"], HasSubstr("late"));
  ASSERT_THAT(Asked<cmd::ArmTimer>(), SizeIs(1));
  now_ = Asked<cmd::ArmTimer>()[0].at;
  Happen(ev::Tick{});
  ASSERT_THAT(Asked<cmd::StartTask>(), SizeIs(1));
  const int64_t second = Asked<cmd::StartTask>()[0].call;
  EXPECT_EQ(Asked<cmd::StartTask>()[0].record.epoch, 1);

  const absl::Status busy =
      MakeError(absl::StatusCode::kFailedPrecondition, "VM_BUSY", "another task");
  Happen(ev::StartRefused{"b", first, busy});
  EXPECT_THAT(Asked<cmd::RejectTask>(), IsEmpty()) << "an answer of the older call";
  Happen(ev::StartRefused{"b", second, busy});
  ASSERT_THAT(Asked<cmd::RejectTask>(), SizeIs(1));
  EXPECT_EQ(Asked<cmd::RejectTask>()[0].epoch, 1);
  EXPECT_TRUE(Asked<cmd::RejectTask>()[0].failure.retryable);
}

TEST_F(SchedulerCoreTest, AWriteThatFailsIsTriedAgainLater) {
  Happen({ev::HostOnline{"h1", {}}});
  Happen(ev::RecordChanged{Request("b", "vm1")});
  EXPECT_THAT(Begun(), ElementsAre("b"));
  Happen(ev::Written{"b", absl::UnavailableError("disk full")});
  EXPECT_THAT(Begun(), IsEmpty());
  ASSERT_THAT(Asked<cmd::ArmTimer>(), SizeIs(1));
  now_ = Asked<cmd::ArmTimer>()[0].at;
  Happen(ev::Tick{});
  EXPECT_THAT(Begun(), ElementsAre("b"));
}

TEST_F(SchedulerCoreTest, DelaysGrowFromTryToTry) {
  Happen({ev::HostOnline{"h1", {}}});
  BackupRecord record = Request("b", "vm1");
  Happen(ev::RecordChanged{record});
  absl::Duration before = absl::ZeroDuration();
  for (int attempt = 1; attempt <= 3; ++attempt) {
    BackupRecord building = RunIt(record);
    record = building;
    record.state = BackupState::kRequested;
    record.task_open = false;
    record.attempts = attempt;
    Happen(ev::RecordChanged{Changed(record)});
    ASSERT_THAT(Asked<cmd::ArmTimer>(), SizeIs(1));
    const absl::Duration delay = Asked<cmd::ArmTimer>()[0].at - now_;
    EXPECT_GT(delay * 2, before);
    before = delay;
    now_ += delay;
    Happen(ev::Tick{});
  }
}

// Cancel and scrub.

TEST_F(SchedulerCoreTest, AScrubOfARequestThatNeverBeganClosesWithoutATask) {
  Happen(ev::HostOffline{"h1", "gone"});
  BackupRecord record = Request("b", "vm1");
  Happen(ev::RecordChanged{record});
  record.state = BackupState::kScrub;
  Happen(ev::RecordChanged{Changed(record)});
  ASSERT_THAT(Asked<cmd::CloseWithoutTask>(), SizeIs(1));
  EXPECT_THAT(shown_["b"], IsEmpty());
}

class CancelTest : public SchedulerCoreTest {
 protected:
  // BUILDING on the host, then SCRUB was asked for.
  void ScrubWhileBuilding() {
    Happen({ev::HostOnline{"h1", {}}});
    const BackupRecord record = Request("b", "vm1");
    Happen(ev::RecordChanged{record});
    record_ = RunIt(record);
    record_.state = BackupState::kScrub;
    Happen(ev::RecordChanged{Changed(record_)});
  }
  BackupRecord record_;
};

TEST_F(CancelTest, TheHostIsToldOnce) {
  ScrubWhileBuilding();
  ASSERT_THAT(Asked<cmd::CancelTask>(), SizeIs(1));
  const auto cancel = Asked<cmd::CancelTask>()[0];
  EXPECT_EQ(cancel.task, (TaskRef{record_.task_id, 1}));
  Happen(ev::CancelAnswered{"b", cancel.call, absl::OkStatus(), false});
  EXPECT_THAT(last_, IsEmpty()) << "its end comes as an event";
}

TEST_F(CancelTest, ATaskThatWasNeverAcceptedIsRejected) {
  ScrubWhileBuilding();
  ASSERT_THAT(Asked<cmd::CancelTask>(), SizeIs(1));
  Happen(ev::CancelAnswered{"b", Asked<cmd::CancelTask>()[0].call, absl::OkStatus(), true});
  ASSERT_THAT(Asked<cmd::RejectTask>(), SizeIs(1));
  EXPECT_EQ(Asked<cmd::RejectTask>()[0].failure.reason, "CANCELLED");
  EXPECT_EQ(Asked<cmd::RejectTask>()[0].epoch, 1);
}

// The store failed just then: nothing else would ever end the scrub.
TEST_F(CancelTest, AnAnswerThatWasNotKeptIsAskedForAgain) {
  ScrubWhileBuilding();
  ASSERT_THAT(Asked<cmd::CancelTask>(), SizeIs(1));
  Happen(ev::CancelAnswered{"b", Asked<cmd::CancelTask>()[0].call, absl::OkStatus(), true});
  ASSERT_THAT(Asked<cmd::RejectTask>(), SizeIs(1));
  Happen(ev::Written{"b", absl::UnavailableError("the disk is full")});
  EXPECT_THAT(Asked<cmd::CancelTask>(), IsEmpty()) << "not at once";
  now_ += absl::Minutes(1);
  Happen(ev::Tick{});
  EXPECT_THAT(Asked<cmd::CancelTask>(), SizeIs(1));
}

TEST_F(CancelTest, AnUnreachableHostIsToldWhenItIsBack) {
  ScrubWhileBuilding();
  Happen(ev::HostOffline{"h1", "gone"});
  EXPECT_TRUE(shown_["b"].contains("HOST_UNREACHABLE"));
  Happen(ev::HostOnline{"h1", {{{record_.task_id, 1}, "b", false}}});
  EXPECT_THAT(Asked<cmd::CancelTask>(), SizeIs(1));
}

TEST_F(CancelTest, ATaskThatEndedByItselfIsNotCancelled) {
  ScrubWhileBuilding();
  Happen(ev::HostOffline{"h1", "gone"});
  Happen(ev::HostOnline{"h1", {{{record_.task_id, 1}, "b", true}}});
  EXPECT_THAT(Asked<cmd::CancelTask>(), IsEmpty());
}

TEST_F(CancelTest, AfterTheEndTheFilesAreScrubbedAtOnce) {
  ScrubWhileBuilding();
  record_.task_open = false;
  record_.files_may_exist = true;
  Happen(ev::RecordChanged{Changed(record_)});
  EXPECT_THAT(Begun(), ElementsAre("b"));
  EXPECT_TRUE(Asked<cmd::BeginTask>()[0].dispatch.scrub);
}

TEST_F(SchedulerCoreTest, AFailedScrubIsTriedAgainAfterADelay) {
  Happen({ev::HostOnline{"h1", {}}});
  BackupRecord scrub = ToScrub("s", "vm1");
  Happen(ev::RecordChanged{scrub});
  BackupRecord scrubbing = RunIt(scrub);
  scrubbing.state = BackupState::kScrub;
  scrubbing.task_open = false;
  Happen(ev::RecordChanged{Changed(scrubbing)});
  EXPECT_THAT(Begun(), IsEmpty());
  ASSERT_THAT(Asked<cmd::ArmTimer>(), SizeIs(1));
  now_ = Asked<cmd::ArmTimer>()[0].at;
  Happen(ev::Tick{});
  EXPECT_THAT(Begun(), ElementsAre("s"));
}

// A scrub asked for while the BeginTask was on its way: the write is refused, and the record closes
// at once.
TEST_F(SchedulerCoreTest, ARecordThatMovedOnIsNotDelayed) {
  Happen({ev::HostOnline{"h1", {}}});
  BackupRecord record = Request("b", "vm1");
  Happen(ev::RecordChanged{record});
  EXPECT_THAT(Begun(), ElementsAre("b"));
  record.state = BackupState::kScrub;
  Happen(ev::RecordChanged{Changed(record)});
  EXPECT_THAT(last_, IsEmpty()) << "one write at a time";
  Happen(ev::Written{"b", absl::AbortedError("moved on")});
  EXPECT_THAT(Asked<cmd::CloseWithoutTask>(), SizeIs(1));
}

TEST_F(SchedulerCoreTest, NothingBeginsOrIsSentAfterADrain) {
  Happen({ev::HostOnline{"h1", {}}, ev::Drain{}, ev::RecordChanged{Request("b", "vm1")}});
  EXPECT_THAT(last_, IsEmpty());
}

TEST_F(SchedulerCoreTest, AnOlderRevisionChangesNothing) {
  Happen({ev::HostOnline{"h1", {}}});
  const BackupRecord record = Request("b", "vm1");
  Happen(ev::RecordChanged{record});
  const BackupRecord building = RunIt(record);
  Happen(ev::RecordChanged{record});
  EXPECT_THAT(last_, IsEmpty());
}

}  // namespace
}  // namespace vmkeep::controller
