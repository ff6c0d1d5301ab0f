#include "tests/integration/controller/end_to_end_fixture.h"

#include <signal.h>

#include <utility>

namespace vmkeep::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(EndToEndTest, ABackupIsOnTheDiskWhenItIsRunningAndGoneWhenItIsClosed) {
  const std::vector<std::string> disks = Disks();
  const pb::Backup running = AwaitState(Create("nightly").id(), pb::Backup::RUNNING);
  const auto manifest = executor_.VerifyBackup(SpecOf(running), disks);
  EXPECT_EQ(manifest.backup_id(), running.id());
  EXPECT_EQ(manifest.name(), "nightly");
  EXPECT_EQ(manifest.project(), "local");
  EXPECT_EQ(manifest.host().id(), "kvm-1");
  EXPECT_EQ(running.virtual_bytes(), 2 * (64 << 20));
  EXPECT_TRUE(running.simulated());
  Scrub(running.id());
  EXPECT_EQ(AwaitState(running.id(), pb::Backup::CLOSED).scrub_level(), "REMOVED");
  EXPECT_FALSE(IsPublished(running));
  EXPECT_THAT(executor_.Leftovers(), IsEmpty());
}

TEST_F(EndToEndTest, ACancelledBackupLeavesNothingBehind) {
  executor_.SetGate("disk-vdb");
  const pb::Backup created = Create("nightly");
  const pb::Backup building = AwaitCopying(created.id());
  Scrub(created.id());
  AwaitState(created.id(), pb::Backup::CLOSED);
  EXPECT_FALSE(IsPublished(building));
  EXPECT_THAT(executor_.Leftovers(), IsEmpty());
}

TEST_F(EndToEndTest, AKilledControllerFindsItsBackupWhereTheHostHasIt) {
  const std::vector<std::string> disks = Disks();
  executor_.SetGate("disk-vdb");
  const pb::Backup created = Create("nightly");
  AwaitCopying(created.id());
  KillController();
  StartController();
  AwaitOnline();
  executor_.SetGate("");
  const pb::Backup running = AwaitState(created.id(), pb::Backup::RUNNING);
  EXPECT_EQ(running.epoch(), 1) << "the host carried on alone";
  executor_.VerifyBackup(SpecOf(running), disks);
}

TEST_F(EndToEndTest, ABackupThatEndsWhileNoControllerIsThereIsHeardOfLater) {
  executor_.SetGate("disk-vdb");
  const pb::Backup created = Create("nightly");
  const pb::Backup building = AwaitCopying(created.id());
  KillController();
  executor_.SetGate("");
  const absl::Duration until = RealClock().Monotonic() + kPatience;
  while (!IsPublished(building) && RealClock().Monotonic() < until) {
    (void)RealClock().WaitFor(absl::Milliseconds(10), {});
  }
  ASSERT_TRUE(IsPublished(building));
  StartController();
  EXPECT_EQ(AwaitState(created.id(), pb::Backup::RUNNING).epoch(), 1);
}

TEST_F(EndToEndTest, AKilledExecutorLeavesNoHalfBackupAndTheRecordEndsTrue) {
  const std::vector<std::string> disks = Disks();
  executor_.SetGate("disk-vdb");
  const pb::Backup created = Create("nightly");
  AwaitCopying(created.id());
  executor_.Kill();
  Await(created.id(), [](const pb::Backup& backup) {
    return backup.conditions_size() > 0 && backup.conditions(0).type() == "HOST_UNREACHABLE";
  });
  executor_.SetGate("");
  executor_.Start();
  const pb::Backup ended = Await(created.id(), [](const pb::Backup& backup) {
    return backup.state() == pb::Backup::RUNNING || backup.state() == pb::Backup::UNRESOURCED;
  });
  EXPECT_THAT(executor_.Leftovers(), IsEmpty());
  if (ended.state() == pb::Backup::RUNNING) {
    executor_.VerifyBackup(SpecOf(ended), disks);
  } else {
    EXPECT_TRUE(ended.failure().retryable()) << ended.failure().message();
    EXPECT_FALSE(IsPublished(ended));
  }
  Scrub(created.id());
  AwaitState(created.id(), pb::Backup::CLOSED);
  EXPECT_FALSE(IsPublished(ended));
}

TEST_F(EndToEndTest, ASecondControllerIsKeptOut) {
  std::vector<std::string> argv = ControllerArgv();
  argv[1] = "--listen=unix:" + folder_.path("second.sock");
  VMKEEP_ASSERT_OK_AND_ASSIGN(const process::RunResult second, process::RunToEnd(argv, kPatience));
  EXPECT_EQ(second.exit_status.code, 1);
  EXPECT_THAT(second.err, HasSubstr(folder_.path("state")));
  EXPECT_EQ(AwaitState(Create("nightly").id(), pb::Backup::RUNNING).epoch(), 1);
}

TEST_F(EndToEndTest, ATermSignalDrainsAndTheWorkGoesOn) {
  executor_.SetGate("disk-vdb");
  const pb::Backup created = Create("nightly");
  AwaitCopying(created.id());
  grpc::ClientContext context;
  SetDeadline(context);
  const auto reader = backups_->WatchBackups(&context, {});
  pb::WatchBackupsResponse response;
  ASSERT_TRUE(reader->Read(&response));
  ASSERT_EQ(::kill(controller_->id().pid, SIGTERM), 0);
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_FALSE(response.resume_token().empty());
  const auto exit = controller_->Wait(kPatience);
  ASSERT_TRUE(exit.has_value());
  EXPECT_TRUE(exit->ok()) << exit->ToString();
  executor_.SetGate("");
  StartController();
  EXPECT_EQ(AwaitState(created.id(), pb::Backup::RUNNING).epoch(), 1);
}

TEST_F(EndToEndTest, FlagsThatMakeNoSenseAreSaid) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"--tasks_per_host=0", "tasks_per_host"},
      {"--state_dir=relative", "state_dir"},
      {"--log_level=loud", "log_level"},
      {"--listen=0.0.0.0:4711", "TLS"},
      {"--tls_ca=/nowhere", "all three"}};
  for (const auto& [flag, said] : wrong) {
    VMKEEP_ASSERT_OK_AND_ASSIGN(const process::RunResult ran,
                                process::RunToEnd({absl::StrCat(VMKEEP_BIN, "/vmkeep-controller"),
                                                   "--listen=unix:" + folder_.path("x.sock"),
                                                   "--state_dir=" + folder_.path("other"), flag},
                                                  kPatience));
    EXPECT_EQ(ran.exit_status.code, 1) << flag;
    EXPECT_THAT(ran.err, HasSubstr(said)) << flag;
  }
}

}  // namespace
}  // namespace vmkeep::test
