#include "common/clock.h"
#include "tests/integration/executor/executor_process.h"
#include "tests/support/status_matchers.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

namespace vmkeep::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::vmkeep::v1::Progress;

class ExecutorCrashTest : public ::testing::Test {
 protected:
  // A backup whose worker is held at the job with `text`.
  exec::StartTaskRequest HeldAt(const std::string& text, Progress::Phase phase) {
    executor_.Start();
    executor_.SetGate(text);
    const exec::StartTaskRequest request = executor_.NewBackup();
    EXPECT_TRUE(executor_.StartTask(request).ok());
    executor_.ReadEvents(0, [&](const exec::Event& event) {
      return event.task().task_id() == request.task().task_id() &&
             event.progress().phase() == phase;
    });
    // The worker's process follows the phase by a moment.
    RealClock().WaitFor(absl::Milliseconds(200), {});
    return request;
  }
  static bool Eventually(const std::function<bool()>& holds) {
    for (int i = 0; i < 600 && !holds(); ++i) RealClock().WaitFor(absl::Milliseconds(50), {});
    return holds();
  }

  ExecutorProcess executor_;
};

// The guest wrote meanwhile; the backup is what the disks were at the snapshot.
TEST_F(ExecutorCrashTest, KillInMidCopyIsGoneOnWithAndTheBackupIsWhatItWouldHaveBeen) {
  int backups = 0;
  for (const char* disk : {"disk-vda", "disk-vdb"}) {
    SCOPED_TRACE(disk);
    executor_.Start();
    const std::vector<std::string> disks = {ReadFile(executor_.DiskPath("vda")),
                                            ReadFile(executor_.DiskPath("vdb"))};
    executor_.Kill();
    const exec::StartTaskRequest request = HeldAt(disk, Progress::COPYING);
    executor_.Kill();
    EXPECT_THAT(executor_.Leftovers(), Not(IsEmpty())) << "the test would prove nothing";
    executor_.SetGate("");
    executor_.Start();
    const std::vector<exec::Event> events = executor_.ReadToEnd(request.task());
    ASSERT_FALSE(events.empty());
    const exec::TaskEnded& ended = events.back().ended();
    EXPECT_EQ(ended.outcome(), exec::TaskEnded::DONE) << ended.failure().message();
    EXPECT_EQ(events.back().task().epoch(), request.task().epoch());
    executor_.VerifyBackup(request.backup(), disks);
    EXPECT_THAT(executor_.Leftovers(), IsEmpty());
    // What the guest wrote on the overlay is not lost.
    const std::string written = absl::StrCat("vmkeep-sim write ", ++backups);
    EXPECT_TRUE(absl::StrContains(ReadFile(executor_.DiskPath("vda")), written));
    EXPECT_TRUE(absl::StrContains(ReadFile(executor_.DiskPath("vdb")), written));
    executor_.Kill();
  }
}

// The worker too is in the middle of its copy, and is left to die by itself.
TEST_F(ExecutorCrashTest, BaseThatChangedMeanwhileIsMergedFailedAsRetryableAndLeavesNothing) {
  const exec::StartTaskRequest request = HeldAt("disk-vdb", Progress::COPYING);
  executor_.Kill();
  std::filesystem::last_write_time(executor_.DiskPath("vdb"),
                                   std::filesystem::file_time_type::clock::now());
  executor_.SetGate("");
  executor_.Start();
  const exec::TaskEnded ended = executor_.ReadEnd(request.task());
  EXPECT_EQ(ended.outcome(), exec::TaskEnded::FAILED);
  EXPECT_EQ(ended.failure().reason(), "EXECUTOR_RESTARTED");
  EXPECT_EQ(ended.failure().metadata().at("why"), "DISK_CHANGED");
  EXPECT_EQ(ended.failure().phase(), "COPYING");
  EXPECT_TRUE(ended.failure().retryable());
  EXPECT_TRUE(ended.snapshot_taken());
  EXPECT_FALSE(ended.vm_on_overlay() || ended.files_may_remain());
  EXPECT_THAT(executor_.Leftovers(), IsEmpty());
  EXPECT_THAT(ReadFile(executor_.DiskPath("vdb")), HasSubstr("vmkeep-sim write 1"));

  // The next try, as the controller makes it.
  exec::StartTaskRequest again = executor_.NewBackup();
  again.mutable_backup()->set_backup_id(request.backup().backup_id());
  again.mutable_task()->set_epoch(2);
  ASSERT_TRUE(executor_.StartTask(again).ok());
  EXPECT_EQ(executor_.ReadEnd(again.task()).outcome(), exec::TaskEnded::DONE);
}

TEST_F(ExecutorCrashTest, RepositoryThatIsGoneMeanwhileIsMergedAndFailedAsRetryable) {
  const exec::StartTaskRequest request = HeldAt("disk-vdb", Progress::COPYING);
  executor_.Kill();
  const std::string marker = executor_.repository(1) + "/.vmkeep-repository";
  std::filesystem::rename(marker, executor_.path("marker"));
  executor_.SetGate("");
  executor_.Start({}, /*init_repositories=*/false);
  const exec::TaskEnded ended = executor_.ReadEnd(request.task());
  EXPECT_EQ(ended.failure().reason(), "EXECUTOR_RESTARTED");
  EXPECT_TRUE(ended.failure().retryable());
  EXPECT_FALSE(ended.vm_on_overlay());
  EXPECT_TRUE(ended.files_may_remain()) << "nothing is touched where no marker is";
  EXPECT_THAT(ReadFile(executor_.DiskPath("vdb")), HasSubstr("vmkeep-sim write 1"));
}

TEST_F(ExecutorCrashTest, KillAtThePublishIsFinishedByTheNextStart) {
  const std::vector<std::string> disks = [this] {
    executor_.Start();
    return std::vector<std::string>{ReadFile(executor_.DiskPath("vda")),
                                    ReadFile(executor_.DiskPath("vdb"))};
  }();
  executor_.Kill();
  const exec::StartTaskRequest request = HeldAt("manifest", Progress::PUBLISHING);
  executor_.Kill();
  executor_.SetGate("");
  executor_.Start();
  EXPECT_EQ(executor_.ReadEnd(request.task()).outcome(), exec::TaskEnded::DONE);
  executor_.VerifyBackup(request.backup(), disks);
  EXPECT_THAT(executor_.Leftovers(), IsEmpty());
}

TEST_F(ExecutorCrashTest, VmThatWentOffWhileTheExecutorWasDeadIsMergedOffline) {
  const exec::StartTaskRequest request = HeldAt("disk-vda", Progress::COPYING);
  executor_.Kill();
  std::string vm = ReadFile(executor_.VmFile());
  vm.replace(vm.find("\"on\""), 4, "\"off\"");
  ASSERT_TRUE(WriteFile(executor_.VmFile(), vm));
  executor_.SetGate("");
  executor_.Start();
  const exec::TaskEnded ended = executor_.ReadEnd(request.task());
  EXPECT_EQ(ended.outcome(), exec::TaskEnded::DONE) << "the copy needs no running VM";
  EXPECT_FALSE(ended.vm_on_overlay());
  EXPECT_THAT(executor_.Leftovers(), IsEmpty());
  EXPECT_THAT(ReadFile(executor_.DiskPath("vda")), HasSubstr("vmkeep-sim write 1"));
}

TEST_F(ExecutorCrashTest, OverlayThatNoJournalKnowsIsMergedAndNothingUnlinked) {
  HeldAt("disk-vda", Progress::COPYING);
  executor_.Kill();
  std::filesystem::remove_all(executor_.path("state"));
  executor_.SetGate("");
  executor_.Start();
  EXPECT_TRUE(Eventually(
      [this] { return ReadFile(executor_.VmFile()).find(".vmkeep-") == std::string::npos; }));
  EXPECT_THAT(ReadFile(executor_.DiskPath("vda")), HasSubstr("vmkeep-sim write 1"));
  int overlays = 0;
  for (const std::string& file : executor_.Leftovers()) {
    overlays += file.find(".vmkeep-") == std::string::npos ? 0 : 1;
  }
  EXPECT_EQ(overlays, 2) << "not ours to remove without a journal";
}

TEST_F(ExecutorCrashTest, FrozenGuestIsThawedByTheNextStart) {
  executor_.Start();
  executor_.SetGate("disk-vda");
  const exec::StartTaskRequest request = executor_.NewBackup();
  ASSERT_TRUE(executor_.StartTask(request).ok());
  executor_.ReadEvents(0,
                       [&](const exec::Event& event) { return event.step().step() == "snapshot"; });
  executor_.Kill();
  // As if it had died inside of the snapshot call: the journal's last word is the intent.
  auto ran = process::RunToEnd(
      {"python3", "-c",
       absl::StrCat("import sqlite3; db = sqlite3.connect('", executor_.path("state"),
                    "/journal.db'); db.execute(\"update step set status='intent' where "
                    "name='snapshot'\"); db.execute(\"update step set status='pending' where "
                    "name='copy'\"); db.execute('update vm set snapshot_at=null'); db.commit()")},
      absl::Seconds(20));
  ASSERT_THAT(ran, IsOk());
  ASSERT_TRUE(ran->exit_status.ok()) << ran->err;
  std::string vm = ReadFile(executor_.VmFile());
  vm.replace(vm.find("false", vm.find("\"frozen\"")), 5, "true");
  ASSERT_TRUE(WriteFile(executor_.VmFile(), vm));
  executor_.SetGate("");
  executor_.Start();
  const exec::TaskEnded ended = executor_.ReadEnd(request.task());
  EXPECT_EQ(ended.failure().reason(), "EXECUTOR_RESTARTED");
  EXPECT_TRUE(ended.snapshot_taken()) << "or may have been";
  EXPECT_EQ(ReadFile(executor_.VmFile()).find("\"frozen\": true"), std::string::npos);
  EXPECT_THAT(executor_.Leftovers(), IsEmpty());
}

TEST_F(ExecutorCrashTest, StopInMidCopyMergesFirst) {
  const exec::StartTaskRequest request = HeldAt("disk-vdb", Progress::COPYING);
  EXPECT_TRUE(executor_.Stop().ok());
  EXPECT_THAT(executor_.Leftovers(), IsEmpty()) << "before the process ended";
  executor_.SetGate("");
  executor_.Start();
  const exec::TaskEnded ended = executor_.ReadEnd(request.task());
  EXPECT_EQ(ended.failure().reason(), "EXECUTOR_STOPPED");
  EXPECT_TRUE(ended.failure().retryable());
}

}  // namespace
}  // namespace vmkeep::test
