#include "tests/unit/tasks/scheduler_fixture.h"

namespace vmkeep::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

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

TEST_F(SchedulerCoreTest, NothingNewStartsOnADrainingHostAndItsRecordsSaySo) {
  Happen({ev::InventoryChanged{repositories_, {"h1"}}, ev::HostOnline{"h1", {}},
          ev::HostOnline{"h2", {}}, ev::RecordChanged{Request("a", "vm1", "h1")},
          ev::RecordChanged{ToScrub("s", "vm2")}, ev::RecordChanged{Request("b", "vm3", "h2")}});
  EXPECT_THAT(Begun(), ElementsAre("b"));
  EXPECT_THAT(shown_["a"]["HOST_DRAINING"], HasSubstr("h1"));
  EXPECT_TRUE(shown_["s"].contains("HOST_DRAINING")) << "a scrub is new work too";
  Happen(ev::InventoryChanged{repositories_, {}});
  EXPECT_THAT(Begun(), ElementsAre("a", "s"));
  EXPECT_TRUE(shown_["a"].empty());
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

// Repositories.

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

// What the host reports of a try in the record's repository.
BackupRecord AfterFault(const BackupRecord& building, bool snapshot_taken, bool retryable) {
  ExecutorEvent event{.sequence = 1,
                      .time = {},
                      .task = {building.task_id, building.epoch},
                      .backup_id = building.id,
                      .body = {}};
  TaskEnded ended;
  ended.failure.emplace().reason = "COPY_STALLED";
  ended.failure->phase = snapshot_taken ? "COPYING" : "PREFLIGHT";
  ended.failure->retryable = retryable;
  ended.files_may_remain = ended.snapshot_taken = snapshot_taken;
  event.body = ended;
  return *ApplyEvent(building, event);
}

TEST_F(SchedulerCoreTest, ABackupThatMovedGoesToTheOtherRepositoryAndSaysWhy) {
  Happen(ev::HostOnline{"h1", {}});
  const BackupRecord asked = Request("b1", "vm1", "h1", /*repository=*/0);
  Happen(ev::RecordChanged{asked});
  const BackupRecord first = RunIt(asked);
  EXPECT_EQ(first.repository_id, "repo-1");
  const BackupRecord moved = Changed(AfterFault(first, true, true));
  Happen(ev::RecordChanged{moved});
  now_ += absl::Minutes(1);
  Happen(ev::Tick{});
  const BackupRecord second = RunIt(moved);
  EXPECT_EQ(second.repository_id, "repo-2");
  EXPECT_THAT(second.placement_reason,
              ::testing::HasSubstr("moved away from repository 1 (primary), which failed in "
                                   "COPYING: COPY_STALLED"));
  // That one too: there is nowhere else, and it does not go back.
  const BackupRecord third = Changed(AfterFault(second, true, true));
  Happen(ev::RecordChanged{third});
  now_ += absl::Minutes(10);
  Happen(ev::Tick{});
  EXPECT_THAT(Begun(), ::testing::IsEmpty());
  const auto rejects = Asked<cmd::RejectTask>();
  ASSERT_THAT(rejects, ::testing::SizeIs(1));
  const BackupRecord ended = *RejectTask(third, rejects[0].epoch, rejects[0].failure);
  EXPECT_EQ(ended.state, BackupState::kUnresourced);
  EXPECT_EQ(ended.failure->reason, "COPY_STALLED");
}

TEST_F(SchedulerCoreTest, AnotherAttemptAvoidsTheSickRepositoryUnlessItIsTheOnlyOne) {
  Happen(ev::HostOnline{"h1", {}});
  const BackupRecord asked = Request("b1", "vm1", "h1", /*repository=*/0);
  Happen(ev::RecordChanged{asked});
  const BackupRecord again = Changed(AfterFault(RunIt(asked), false, true));
  EXPECT_TRUE(again.left_repositories.empty());
  Happen(ev::RecordChanged{again});
  now_ += absl::Minutes(1);
  Happen(ev::Tick{});
  ASSERT_THAT(Asked<cmd::BeginTask>(), ::testing::SizeIs(1));
  EXPECT_EQ(Asked<cmd::BeginTask>()[0].dispatch.repository_id, "repo-2");

  const BackupRecord alone = Request("b2", "vm2", "h2", /*repository=*/0);
  Happen({ev::HostOnline{"h2", {}}, ev::InventoryChanged{{Repository("h2", 1)}},
          ev::RecordChanged{alone}});
  const BackupRecord alone_again = Changed(AfterFault(RunIt(alone), false, true));
  Happen(ev::RecordChanged{alone_again});
  now_ += absl::Minutes(1);
  Happen(ev::Tick{});
  ASSERT_THAT(Asked<cmd::BeginTask>(), ::testing::SizeIs(1));
  EXPECT_EQ(Asked<cmd::BeginTask>()[0].dispatch.repository_id, "repo-1");
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

// The two change places between the tries. Red when the slot is pinned instead of the UUID.
TEST_F(SchedulerCoreTest, ATryAfterOneThatLeftFilesGoesToTheirRepositoryWhicheverSlotThatIs) {
  BackupRecord record = Request("b", "vm1");
  record.repository = 1;
  record.repository_id = "repo-1";
  record.files_may_exist = true;
  repositories_[0].id = "repo-2";
  repositories_[1].id = "repo-1";
  Happen(
      {ev::InventoryChanged{repositories_}, ev::HostOnline{"h1", {}}, ev::RecordChanged{record}});
  ASSERT_THAT(Begun(), ElementsAre("b"));
  EXPECT_EQ(Asked<cmd::BeginTask>()[0].dispatch.repository, 2);
  EXPECT_EQ(Asked<cmd::BeginTask>()[0].dispatch.repository_id, "repo-1");
}

TEST_F(SchedulerCoreTest, ATryAfterOneThatLeftFilesIsRefusedForNowWhereTheirRepositoryIsNotSeen) {
  BackupRecord record = Request("b", "vm1");
  record.repository_id = "repo-9";
  record.files_may_exist = true;
  Happen({ev::HostOnline{"h1", {}}, ev::RecordChanged{record}});
  EXPECT_THAT(Begun(), IsEmpty());
  ASSERT_THAT(Asked<cmd::RejectTask>(), SizeIs(1));
  EXPECT_EQ(Asked<cmd::RejectTask>()[0].failure.reason, "NO_REPOSITORY");
  EXPECT_TRUE(Asked<cmd::RejectTask>()[0].failure.retryable);
  EXPECT_THAT(shown_["b"]["REPOSITORY_ILL"], HasSubstr("repo-9"));
}

// A full repository fails its probe; to refuse the scrub would keep it full for good.
TEST_F(SchedulerCoreTest, AScrubGoesToAnIllRepository) {
  repositories_[0].health = Health::kIll;
  Happen({ev::InventoryChanged{repositories_}, ev::HostOnline{"h1", {}},
          ev::RecordChanged{ToScrub("s", "vm1")}});
  EXPECT_THAT(Begun(), ElementsAre("s"));
}

}  // namespace
}  // namespace vmkeep::controller
