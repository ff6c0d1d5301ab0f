#include "tests/integration/controller/controller_fixture.h"

namespace vmkeep::test {
namespace {

using ::testing::AllOf;
using ::testing::IsEmpty;

// SCRUB from each of the seven states: allowed from all but CLOSED, a repeat is no error, and
// nothing stays behind.
class ScrubTest : public ControllerTest {
 protected:
  ScrubTest() { AddHost("kvm-1", {"web-1"}); }
  FakeExecutor& kvm() { return host("kvm-1"); }

  pb::Backup Running() {
    auto created = Create("web-1", "nightly");
    EXPECT_THAT(created, IsOk());
    return AwaitState(created->id(), pb::Backup::RUNNING);
  }
  int Scrubs() {
    int count = 0;
    for (const auto& task : kvm().tasks()) count += task.record.task_is_scrub ? 1 : 0;
    return count;
  }
};

TEST_F(ScrubTest, Requested) {
  kvm().SetReachable(false);
  AwaitHost("kvm-1", pb::Host::UNREACHABLE);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup created, Create("web-1", "nightly"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup answer, Scrub(created.id()));
  EXPECT_THAT(answer, InState(pb::Backup::SCRUB));
  AwaitState(created.id(), pb::Backup::CLOSED);  // with no host: nothing was ever begun
  kvm().SetReachable(true);
  AwaitHost("kvm-1", pb::Host::ONLINE);
  EXPECT_EQ(kvm().accepted(), 0);
}

TEST_F(ScrubTest, BuildingIsCancelled) {
  kvm().FinishAtOnce(false);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup created, Create("web-1", "nightly"));
  AwaitTrue([&] { return kvm().accepted() == 1; }, "accepted");
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup answer, Scrub(created.id()));
  EXPECT_THAT(answer, InState(pb::Backup::SCRUB));
  AwaitTrue([&] { return kvm().tasks().at(0).cancelled; }, "the host was told");
  EXPECT_TRUE(kvm().Finish(created.id()));
  EXPECT_THAT(AwaitState(created.id(), pb::Backup::CLOSED).conditions(), IsEmpty());
  EXPECT_EQ(Scrubs(), 0) << "its end said that nothing remains";
}

TEST_F(ScrubTest, BuildingWhoseEndComesFirstIsScrubbedAfterIt) {
  kvm().FinishAtOnce(false);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup created, Create("web-1", "nightly"));
  AwaitTrue([&] { return kvm().accepted() == 1; }, "accepted");
  kvm().SetReachable(false);
  AwaitCondition(created.id(), "HOST_UNREACHABLE");
  EXPECT_THAT(Scrub(created.id()), IsOk());
  EXPECT_TRUE(kvm().Finish(created.id()));  // published before it heard of the wish
  kvm().FinishAtOnce(true);
  kvm().SetReachable(true);
  EXPECT_EQ(AwaitState(created.id(), pb::Backup::CLOSED).scrub_level(), "REMOVED");
  EXPECT_EQ(Scrubs(), 1);
}

// The task never reached the host and, fenced by the cancel, never will. Red when "not known" is
// not acted on.
TEST_F(ScrubTest, BuildingThatWasNeverAccepted) {
  kvm().RefuseStarts(1000, absl::UnavailableError("the journal's disk is full"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup created, Create("web-1", "nightly"));
  // Both: what a watch tells first is the record as it was read, with the conditions of now.
  Await(created.id(), [](const pb::Backup& backup) {
    return backup.state() == pb::Backup::BUILDING && HasCondition(backup, "HOST_UNREACHABLE");
  });
  EXPECT_THAT(Scrub(created.id()), IsOk());
  AwaitTrue([&] { return Get(created.id())->epoch() >= 2; },
            "the cancelled try ended, a scrub began");
  kvm().RefuseStarts(0, absl::OkStatus());
  AwaitState(created.id(), pb::Backup::CLOSED);
  for (const auto& task : kvm().tasks())
    EXPECT_TRUE(task.record.id.empty() || task.record.task_is_scrub);
}

TEST_F(ScrubTest, Unresourced) {
  kvm().RefuseStarts(
      1, MakeError(absl::StatusCode::kFailedPrecondition, "NO_DISKS", "the VM has no disk"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup created, Create("web-1", "nightly"));
  EXPECT_EQ(AwaitState(created.id(), pb::Backup::UNRESOURCED).failure().reason(), "NO_DISKS");
  EXPECT_THAT(Scrub(created.id()), IsOk());
  const pb::Backup closed = AwaitState(created.id(), pb::Backup::CLOSED);
  EXPECT_EQ(closed.failure().reason(), "NO_DISKS") << "why it had failed stays for audit";
}

TEST_F(ScrubTest, RunningIsDeletedOnceHoweverOftenItIsAsked) {
  const pb::Backup running = Running();
  kvm().FinishAtOnce(false);
  for (int i = 0; i < 5; ++i) {
    VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup answer, Scrub(running.id()));
    EXPECT_TRUE(answer.state() == pb::Backup::SCRUB || answer.state() == pb::Backup::SCRUBBING);
  }
  AwaitState(running.id(), pb::Backup::SCRUBBING);
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup scrubbing, Get(running.id()));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup again, Scrub(running.id()));
  EXPECT_THAT(again, InState(pb::Backup::SCRUBBING));
  EXPECT_EQ(again.etag(), scrubbing.etag()) << "a repeat changes nothing";
  AwaitTrue([&] { return kvm().Finish(running.id()); }, "the scrub ran");
  EXPECT_EQ(AwaitState(running.id(), pb::Backup::CLOSED).scrub_level(), "REMOVED");
  EXPECT_EQ(Scrubs(), 1);
}

TEST_F(ScrubTest, ScrubWaitsForItsHost) {
  const pb::Backup running = Running();
  kvm().SetReachable(false);
  AwaitHost("kvm-1", pb::Host::UNREACHABLE);
  EXPECT_THAT(Scrub(running.id()), IsOk());
  EXPECT_THAT(AwaitCondition(running.id(), "HOST_UNREACHABLE"), InState(pb::Backup::SCRUB));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const pb::Backup again, Scrub(running.id()));
  EXPECT_THAT(again, InState(pb::Backup::SCRUB));
  kvm().SetReachable(true);
  AwaitState(running.id(), pb::Backup::CLOSED);
}

TEST_F(ScrubTest, AFailedScrubSaysWhyAndIsTriedAgain) {
  const pb::Backup running = Running();
  kvm().FinishAtOnce(false);
  EXPECT_THAT(Scrub(running.id()), IsOk());
  controller::TaskEnded failed;
  failed.outcome = controller::Outcome::kFailed;
  failed.files_may_remain = true;
  failed.failure.emplace();
  failed.failure->reason = "NAS_GONE";
  AwaitTrue([&] { return kvm().Finish(running.id(), failed); }, "the first scrub ran");
  Await(running.id(), [](const pb::Backup& b) { return b.failure().reason() == "NAS_GONE"; });
  AwaitTrue([&] { return kvm().Finish(running.id()); }, "the second one ran");
  EXPECT_FALSE(AwaitState(running.id(), pb::Backup::CLOSED).has_failure());
}

TEST_F(ScrubTest, ClosedIsRefused) {
  const pb::Backup running = Running();
  EXPECT_THAT(Scrub(running.id()), IsOk());
  AwaitState(running.id(), pb::Backup::CLOSED);
  EXPECT_THAT(Scrub(running.id()), AllOf(StatusIs(absl::StatusCode::kFailedPrecondition),
                                         HasReason("ILLEGAL_TRANSITION")));
  pb::UpdateBackupRequest rename;
  rename.set_id(running.id());
  rename.set_name("other");
  EXPECT_THAT(Update(rename),
              AllOf(StatusIs(absl::StatusCode::kFailedPrecondition), HasReason("BACKUP_CLOSED")));
  // The name is free again.
  EXPECT_THAT(Create("web-1", "nightly"), IsOk());
}

TEST_F(ScrubTest, AVmThatIsGoneCanStillBeScrubbed) {
  const pb::Backup running = Running();
  auto bare = std::make_shared<FakeExecutor>("executor-of-kvm-1");
  bare->SetRepository(1, controller::Health::kHealthy, "11111111-0000-4000-8000-000000000001");
  const std::shared_ptr<FakeExecutor> before = kvm().shared_from_this();
  Replace("kvm-1", bare);
  before->SetReachable(false);
  AwaitTrue([&] { return Create("web-1", "x").status().code() == absl::StatusCode::kNotFound; },
            "the VM is gone");
  EXPECT_THAT(Scrub(running.id()), IsOk());
  AwaitState(running.id(), pb::Backup::CLOSED);
}

}  // namespace
}  // namespace vmkeep::test
