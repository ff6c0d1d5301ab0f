#include "controller/tasks/scheduler_core.h"

#include "common/error.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::controller {
namespace {

namespace cmd = scheduler_command;
namespace ev = scheduler_event;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

RepositoryRecord Repository(const HostId& host, int slot, Health health = Health::kHealthy) {
  RepositoryRecord repository;
  repository.id = absl::StrCat("repo-", slot);  // both hosts see the same two
  repository.host_id = host;
  repository.slot = slot;
  repository.path = slot == 1 ? "/mnt/backup-p" : "/mnt/backup-s";
  repository.total_bytes = 1000;
  repository.free_bytes = slot == 1 ? 900 : 500;
  repository.health = health;
  return repository;
}

// One core, driven by hand. Every test reads: what happened, then what the core asks for.
class SchedulerCoreTest : public ::testing::Test {
 protected:
  SchedulerCoreTest() { Happen(ev::InventoryChanged{repositories_}); }

  static SchedulerOptions Options() {
    SchedulerOptions options;
    options.retry_first = absl::Seconds(10);
    options.seed = 7;
    return options;
  }

  std::vector<SchedulerCommand> Happen(std::vector<SchedulerEvent> events) {
    last_ = core_.Step(now_, std::move(events));
    for (const SchedulerCommand& command : last_) {
      if (const auto* set = std::get_if<cmd::SetCondition>(&command)) {
        shown_[set->id][set->type] = set->message;
      } else if (const auto* clear = std::get_if<cmd::ClearCondition>(&command)) {
        shown_[clear->id].erase(clear->type);
      }
    }
    return last_;
  }
  template <typename Event>
  std::vector<SchedulerCommand> Happen(Event event) {
    std::vector<SchedulerEvent> events;
    events.emplace_back(std::move(event));
    return Happen(std::move(events));
  }

  template <typename Command>
  std::vector<Command> Asked() const {
    std::vector<Command> found;
    for (const SchedulerCommand& command : last_) {
      if (const auto* one = std::get_if<Command>(&command)) found.push_back(*one);
    }
    return found;
  }
  std::vector<std::string> Begun() const {
    std::vector<std::string> ids;
    for (const auto& begin : Asked<cmd::BeginTask>()) ids.push_back(begin.id);
    return ids;
  }

  BackupRecord Request(const BackupId& id, const std::string& vm, const HostId& host = "h1",
                       int repository = 1) {
    BackupRecord record;
    record.id = id;
    record.vm_uuid = record.vm_id = record.vm_name = vm;
    record.host_id = host;
    record.requested_repository = repository;
    record.revision = ++revision_;
    return record;
  }
  BackupRecord ToScrub(const BackupId& id, const std::string& vm, const HostId& host = "h1") {
    BackupRecord record = Request(id, vm, host);
    record.state = BackupState::kScrub;
    record.repository = 1;
    record.repository_id = "repo-1";
    record.files_may_exist = true;
    return record;
  }
  // The record as the store makes it of a BeginTask command.
  BackupRecord Begin(const BackupRecord& record) {
    for (const auto& begin : Asked<cmd::BeginTask>()) {
      if (begin.id != record.id) continue;
      auto next = BeginTask(record, absl::StrCat("task-", record.epoch + 1),
                            begin.dispatch.repository, begin.dispatch.repository_id,
                            begin.dispatch.placement_reason, begin.dispatch.reserved_bytes);
      next->revision = ++revision_;
      return *next;
    }
    ADD_FAILURE() << record.id << " was not begun";
    return record;
  }
  // Accepted by the executor; what the core asked for last is a BeginTask of it.
  BackupRecord RunIt(const BackupRecord& record) {
    const BackupRecord building = Begin(record);
    Happen({ev::RecordChanged{building}, ev::Written{building.id, absl::OkStatus()}});
    const auto starts = Asked<cmd::StartTask>();
    EXPECT_THAT(starts, SizeIs(1));
    if (!starts.empty()) Happen(ev::StartAccepted{building.id, starts[0].call});
    return building;
  }
  BackupRecord Changed(BackupRecord record) {
    record.revision = ++revision_;
    return record;
  }

  SchedulerCore core_{Options()};
  absl::Duration now_ = absl::Hours(1);
  int64_t revision_ = 0;
  std::vector<RepositoryRecord> repositories_ = {Repository("h1", 1), Repository("h1", 2),
                                                 Repository("h2", 1), Repository("h2", 2)};
  std::vector<SchedulerCommand> last_;
  std::map<BackupId, std::map<std::string, std::string>> shown_;
};

// Places
// --------------------------------------------------------------------------------------------------------------

TEST_F(SchedulerCoreTest, RequestOnAnOnlineHostBeginsAndIsSentAfterItIsDurable) {
  Happen(ev::HostOnline{"h1", {}});
  const BackupRecord record = Request("b1", "vm1");
  Happen(ev::RecordChanged{record});
  ASSERT_THAT(Asked<cmd::BeginTask>(), SizeIs(1));
  EXPECT_EQ(Asked<cmd::BeginTask>()[0].dispatch.repository_id, "repo-1");
  EXPECT_THAT(Asked<cmd::StartTask>(), IsEmpty());
  const BackupRecord building = Begin(record);
  Happen({ev::RecordChanged{building}, ev::Written{"b1", absl::OkStatus()}});
  ASSERT_THAT(Asked<cmd::StartTask>(), SizeIs(1));
  EXPECT_EQ(Asked<cmd::StartTask>()[0].record.epoch, 1);
  EXPECT_THAT(shown_["b1"], IsEmpty());
}

TEST_F(SchedulerCoreTest, HostLimitHoldsAndTheNextBeginsWhenOneEnds) {
  Happen(ev::HostOnline{"h1", {}});
  const auto a = Request("a", "vm1");
  const auto b = Request("b", "vm2");
  const auto c = Request("c", "vm3");
  Happen({ev::RecordChanged{a}, ev::RecordChanged{b}, ev::RecordChanged{c}});
  EXPECT_THAT(Begun(), ElementsAre("a", "b"));
  EXPECT_THAT(shown_["c"]["WAITING_FOR_SLOT"], HasSubstr("limit of 2 tasks"));
  BackupRecord running = Begin(a);
  Happen({ev::RecordChanged{running}, ev::Written{"a", absl::OkStatus()}});
  EXPECT_THAT(Begun(), IsEmpty());
  running.state = BackupState::kRunning;
  running.task_open = false;
  Happen(ev::RecordChanged{Changed(running)});
  EXPECT_THAT(Begun(), ElementsAre("c"));
  EXPECT_THAT(shown_["c"], IsEmpty());
}

TEST_F(SchedulerCoreTest, AFullHostDoesNotBlockAnother) {
  Happen({ev::HostOnline{"h1", {}}, ev::HostOnline{"h2", {}}});
  std::vector<SchedulerEvent> events;
  for (int i = 0; i < 6; ++i)
    events.emplace_back(ev::RecordChanged{Request(absl::StrCat("a", i), absl::StrCat("vm", i))});
  events.emplace_back(ev::RecordChanged{Request("z", "vm9", "h2")});
  Happen(std::move(events));
  EXPECT_THAT(Begun(), ElementsAre("a0", "a1", "z"));
}

TEST_F(SchedulerCoreTest, RepositoryLimitCountsOverAllHosts) {
  std::vector<SchedulerEvent> events;
  for (int host = 1; host <= 3; ++host) {
    const HostId id = absl::StrCat("h", host);
    if (host == 3) repositories_.push_back(Repository("h3", 1));
    events.emplace_back(ev::HostOnline{id, {}});
    for (int i = 0; i < 2; ++i) {
      const std::string name = absl::StrCat(id, "-", i);
      events.emplace_back(ev::RecordChanged{Request(name, name, id)});
    }
  }
  events.emplace_back(ev::InventoryChanged{repositories_});
  Happen(std::move(events));
  EXPECT_THAT(Begun(), SizeIs(4));
  EXPECT_EQ(core_.RunningInRepository("repo-1"), 4);
  EXPECT_THAT(shown_["h3-1"]["WAITING_FOR_SLOT"],
              HasSubstr("repository 1 of host h3 is at its limit of 4"));
}

TEST_F(SchedulerCoreTest, ChosenByTheControllerTheOtherRepositoryIsTakenWhenOneHasNoSlot) {
  SchedulerOptions options = Options();
  options.tasks_per_host = 8;
  options.tasks_per_repository = 1;
  core_ = SchedulerCore(options);
  Happen({ev::InventoryChanged{repositories_}, ev::HostOnline{"h1", {}},
          ev::RecordChanged{Request("a", "vm1", "h1", 0)},
          ev::RecordChanged{Request("b", "vm2", "h1", 0)},
          ev::RecordChanged{Request("c", "vm3", "h1", 0)}});
  ASSERT_THAT(Begun(), ElementsAre("a", "b"));
  EXPECT_EQ(Asked<cmd::BeginTask>()[0].dispatch.repository, 1);
  EXPECT_EQ(Asked<cmd::BeginTask>()[1].dispatch.repository, 2);
}

TEST_F(SchedulerCoreTest, ALongLineOfOneVmDoesNotHoldUpAnother) {
  Happen(ev::HostOnline{"h1", {}});
  std::vector<SchedulerEvent> events;
  std::vector<BackupRecord> scrubs;
  for (int i = 0; i < 10; ++i) {
    scrubs.push_back(ToScrub(absl::StrCat("s", i), i % 2 == 0 ? "vm1" : "vm2"));
    events.emplace_back(ev::RecordChanged{scrubs.back()});
  }
  Happen(std::move(events));
  EXPECT_THAT(Begun(), ElementsAre("s0", "s1"));
  BackupRecord scrubbing = Begin(scrubs[0]);
  Happen({ev::RecordChanged{scrubbing}, ev::Written{"s0", absl::OkStatus()},
          ev::RecordChanged{Request("new", "vm3")}});
  scrubbing.state = BackupState::kClosed;
  scrubbing.task_open = false;
  Happen(ev::RecordChanged{Changed(scrubbing)});
  // First in its line goes before second in the others.
  EXPECT_THAT(Begun(), ElementsAre("new"));
}

TEST_F(SchedulerCoreTest, ScrubsCountAndAVmHasOneTaskAtATime) {
  Happen({ev::HostOnline{"h1", {}}, ev::RecordChanged{ToScrub("s", "vm1")},
          ev::RecordChanged{Request("b", "vm1")}});
  EXPECT_THAT(Begun(), ElementsAre("s"));
  EXPECT_EQ(core_.RunningOnHost("h1"), 1);
  EXPECT_THAT(shown_["b"]["WAITING_FOR_SLOT"], HasSubstr("another task of VM vm1"));
}

// Repositories
// --------------------------------------------------------------------------------------------------------

struct PlacementCase {
  std::string name;
  Health health;
  int64_t free_bytes;
  bool retryable;
  std::string reason;
};

class PlacementTest : public SchedulerCoreTest,
                      public ::testing::WithParamInterface<PlacementCase> {};

TEST_P(PlacementTest, ExplicitRepositoryIsRefusedWithItsReason) {
  repositories_[0].health = GetParam().health;
  repositories_[0].free_bytes = GetParam().free_bytes;
  BackupRecord record = Request("b", "vm1");
  record.reserved_bytes = 100;
  Happen(
      {ev::InventoryChanged{repositories_}, ev::HostOnline{"h1", {}}, ev::RecordChanged{record}});
  EXPECT_THAT(Begun(), IsEmpty());
  ASSERT_THAT(Asked<cmd::RejectTask>(), SizeIs(1));
  const Failure failure = Asked<cmd::RejectTask>()[0].failure;
  EXPECT_EQ(failure.reason, GetParam().reason);
  EXPECT_EQ(failure.retryable, GetParam().retryable);
  EXPECT_EQ(shown_["b"].contains("REPOSITORY_ILL"), GetParam().retryable);
}

INSTANTIATE_TEST_SUITE_P(
    All, PlacementTest,
    ::testing::Values(PlacementCase{"Uninitialized", Health::kUninitialized, 900, false,
                                    "REPOSITORY_UNINITIALIZED"},
                      PlacementCase{"Ill", Health::kIll, 900, true, "REPOSITORY_ILL"},
                      PlacementCase{"Full", Health::kHealthy, 50, true, "REPOSITORY_FULL"}),
    [](const auto& info) { return info.param.name; });

TEST_F(SchedulerCoreTest, AnIllRepositoryIsAskedAgainAfterADelayAndThenUsed) {
  repositories_[0].health = Health::kIll;
  BackupRecord record = Request("b", "vm1");
  Happen(
      {ev::InventoryChanged{repositories_}, ev::HostOnline{"h1", {}}, ev::RecordChanged{record}});
  ASSERT_THAT(Asked<cmd::RejectTask>(), SizeIs(1));
  auto again = RejectTask(record, 0, Asked<cmd::RejectTask>()[0].failure);
  ASSERT_TRUE(again.ok());
  repositories_[0].health = Health::kHealthy;
  Happen({ev::RecordChanged{Changed(*again)}, ev::Written{"b", absl::OkStatus()},
          ev::InventoryChanged{repositories_}});
  EXPECT_THAT(Begun(), IsEmpty()) << "it waits for its delay";
  ASSERT_THAT(Asked<cmd::ArmTimer>(), SizeIs(1));
  const absl::Duration at = Asked<cmd::ArmTimer>()[0].at;
  EXPECT_GE(at, now_ + absl::Seconds(5));
  EXPECT_LE(at, now_ + absl::Seconds(10));
  now_ = at;
  Happen(ev::Tick{});
  EXPECT_THAT(Begun(), ElementsAre("b"));
  EXPECT_THAT(shown_["b"], IsEmpty());
}

TEST_F(SchedulerCoreTest, AScrubWaitsForTheRepositoryWhereItsFilesAre) {
  BackupRecord scrub = ToScrub("s", "vm1");
  scrub.repository_id = "repo-9";
  Happen({ev::HostOnline{"h1", {}}, ev::RecordChanged{scrub}});
  EXPECT_THAT(Begun(), IsEmpty());
  EXPECT_THAT(shown_["s"]["REPOSITORY_ILL"], HasSubstr("repo-9"));
  repositories_[0].id = "repo-9";
  Happen(ev::InventoryChanged{repositories_});
  EXPECT_THAT(Begun(), ElementsAre("s"));
}

// A full repository fails its probe; to refuse the scrub would keep it full for good.
TEST_F(SchedulerCoreTest, AScrubGoesToAnIllRepository) {
  repositories_[0].health = Health::kIll;
  Happen({ev::InventoryChanged{repositories_}, ev::HostOnline{"h1", {}},
          ev::RecordChanged{ToScrub("s", "vm1")}});
  EXPECT_THAT(Begun(), ElementsAre("s"));
}

// Hosts that come and go
// ----------------------------------------------------------------------------------------------

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

// Answers
// -------------------------------------------------------------------------------------------------------------

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

// Cancel and scrub
// ----------------------------------------------------------------------------------------------------

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
