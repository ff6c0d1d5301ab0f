#include "common/error.h"
#include "common/grpc_status.h"
#include "tests/integration/executor/executor_process.h"
#include "tests/support/status_matchers.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

namespace vmkeep::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::vmkeep::v1::Backup;
using ::vmkeep::v1::Progress;

// "snapshot", "copy vda", …, and how it ended.
std::vector<std::string> Story(const std::vector<exec::Event>& events) {
  std::vector<std::string> story;
  for (const exec::Event& event : events) {
    if (event.has_step()) {
      story.push_back(absl::StrCat(event.step().step(), event.step().target().empty() ? "" : " ",
                                   event.step().target()));
    }
    if (event.has_ended()) {
      story.push_back(exec::TaskEnded::Outcome_Name(event.ended().outcome()));
    }
  }
  return story;
}

class ExecutorBackupTest : public ::testing::Test {
 protected:
  ExecutorBackupTest() { executor_.Start(); }

  std::vector<std::string> Disks() {
    return {ReadFile(executor_.DiskPath("vda")), ReadFile(executor_.DiskPath("vdb"))};
  }
  void AwaitCopying(const exec::TaskRef& task) {
    executor_.ReadEvents(0, [&](const exec::Event& event) {
      return event.task().task_id() == task.task_id() &&
             event.progress().phase() == Progress::COPYING && event.progress().bytes_done() > 0;
    });
  }

  ExecutorProcess executor_;
};

TEST_F(ExecutorBackupTest, BackupTellsItsStepsInOrderAndPublishesWhatTheDisksWere) {
  const std::vector<std::string> disks = Disks();
  const exec::StartTaskRequest request = executor_.NewBackup();
  ASSERT_TRUE(executor_.StartTask(request).ok());
  const std::vector<exec::Event> events = executor_.ReadToEnd(request.task());
  EXPECT_THAT(Story(events),
              ElementsAre("preflight", "snapshot", "copy vda", "copy vdb", "merge vda", "merge vdb",
                          "check", "remove_overlay", "publish", "DONE"));
  int64_t last = 0;
  for (const exec::Event& event : events) {
    if (event.sequence() == 0) continue;
    EXPECT_EQ(event.sequence(), last + 1) << "without a gap";
    last = event.sequence();
    EXPECT_EQ(event.backup_id(), request.backup().backup_id());
    EXPECT_EQ(event.step().has_time_valid(), event.step().step() == "snapshot");
  }

  const auto manifest = executor_.VerifyBackup(request.backup(), disks);
  EXPECT_EQ(manifest.vm().id(), "customer-7");
  EXPECT_EQ(manifest.vm().name(), kVmName);
  EXPECT_EQ(manifest.labels().at("tier"), "gold");
  EXPECT_TRUE(manifest.simulated());
  EXPECT_EQ(manifest.consistency(), "FILESYSTEM");

  const exec::TaskEnded& ended = events.back().ended();
  EXPECT_FALSE(ended.has_failure());
  EXPECT_TRUE(ended.snapshot_taken());
  EXPECT_FALSE(ended.files_may_remain() || ended.vm_on_overlay());
  EXPECT_EQ(ended.backup().consistency(), Backup::FILESYSTEM);
  EXPECT_EQ(ended.backup().virtual_bytes(), 2 * (64 << 20));
  EXPECT_GT(ended.backup().data_bytes(), 0);
  EXPECT_GT(ended.backup().stored_bytes(), 0);
  EXPECT_EQ(ended.backup().manifest_sha256().size(), 64u);
  EXPECT_TRUE(ended.backup().simulated());
  EXPECT_EQ(ended.backup().time_valid().seconds(), manifest.time_valid().seconds());

  EXPECT_THAT(executor_.Leftovers(), IsEmpty());
  // What the guest wrote meanwhile is on its disk, and not in the backup.
  EXPECT_THAT(ReadFile(executor_.DiskPath("vda")), HasSubstr("vmkeep-sim write 1"));
  EXPECT_THAT(disks[0], ::testing::Not(HasSubstr("vmkeep-sim write")));
}

TEST_F(ExecutorBackupTest, TwoBackupsInARowAreBothWhole) {
  for (int round = 0; round < 2; ++round) {
    const std::vector<std::string> disks = Disks();
    const exec::StartTaskRequest request = executor_.NewBackup();
    ASSERT_TRUE(executor_.StartTask(request).ok());
    EXPECT_EQ(executor_.ReadEnd(request.task()).outcome(), exec::TaskEnded::DONE);
    executor_.VerifyBackup(request.backup(), disks);
  }
}

TEST_F(ExecutorBackupTest, CancelInMidCopyMergesAndLeavesNothing) {
  executor_.SetGate("disk-vdb");
  const exec::StartTaskRequest request = executor_.NewBackup();
  ASSERT_TRUE(executor_.StartTask(request).ok());
  AwaitCopying(request.task());
  bool known = false;
  ASSERT_TRUE(executor_.Cancel(request.task(), &known).ok());
  EXPECT_TRUE(known);
  const std::vector<exec::Event> events = executor_.ReadToEnd(request.task());
  EXPECT_THAT(Story(events),
              ElementsAre("preflight", "snapshot", "copy vda", "merge vda", "merge vdb", "check",
                          "remove_overlay", "discard", "CANCELLED"));
  EXPECT_FALSE(events.back().ended().has_failure());
  EXPECT_FALSE(events.back().ended().files_may_remain());
  EXPECT_THAT(executor_.Leftovers(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(executor_.PublishedFolder(request.backup())));
}

TEST_F(ExecutorBackupTest, VmOnItsOverlayIsSeenAndASecondTaskOnItIsRefused) {
  executor_.SetGate("disk-vda");
  const exec::StartTaskRequest request = executor_.NewBackup();
  ASSERT_TRUE(executor_.StartTask(request).ok());
  AwaitCopying(request.task());
  bool seen = false;
  const exec::Inventory inventory = executor_.Inventory();
  for (const auto& vm : inventory.vms()) {
    if (vm.name() != kVmName) continue;
    seen = true;
    EXPECT_EQ(vm.overlay().files_size(), 2);
    EXPECT_EQ(vm.overlay().backup_id(), request.backup().backup_id());
    EXPECT_FALSE(vm.overlay().needs_attention());
    EXPECT_TRUE(vm.overlay().has_since());
    EXPECT_GT(vm.overlay().bytes(), 0);
  }
  EXPECT_TRUE(seen);
  const grpc::Status second = executor_.StartTask(executor_.NewBackup());
  EXPECT_EQ(ErrorReason(FromGrpcStatus(second)), "VM_BUSY") << second.error_message();
  // Another VM is not held up.
  exec::StartTaskRequest other = executor_.NewBackup("db-1");
  other.mutable_backup()->set_repository(2);
  other.mutable_backup()->set_repository_id(inventory.repositories(1).id());
  ASSERT_TRUE(executor_.StartTask(other).ok());
  executor_.SetGate("");
  EXPECT_EQ(executor_.ReadEnd(request.task()).outcome(), exec::TaskEnded::DONE);
  EXPECT_EQ(executor_.ReadEnd(other.task()).outcome(), exec::TaskEnded::DONE);
}

TEST_F(ExecutorBackupTest, ScrubRemovesThePublishedBackupAndMayBeRepeated) {
  const exec::StartTaskRequest backup = executor_.NewBackup();
  ASSERT_TRUE(executor_.StartTask(backup).ok());
  ASSERT_EQ(executor_.ReadEnd(backup.task()).outcome(), exec::TaskEnded::DONE);
  ASSERT_TRUE(std::filesystem::exists(executor_.PublishedFolder(backup.backup())));
  for (int time = 0; time < 2; ++time) {
    exec::StartTaskRequest scrub = executor_.NewScrub(backup);
    scrub.mutable_task()->set_epoch(backup.task().epoch() + 1 + time);
    ASSERT_TRUE(executor_.StartTask(scrub).ok());
    EXPECT_THAT(Story(executor_.ReadToEnd(scrub.task())).back(), "DONE");
    EXPECT_FALSE(std::filesystem::exists(executor_.PublishedFolder(backup.backup())));
  }
  EXPECT_THAT(executor_.Leftovers(), IsEmpty());
}

TEST_F(ExecutorBackupTest, StoppedVmIsBackedUpAndItsDefinitionPutBack) {
  std::string vm = ReadFile(executor_.VmFile());
  vm.replace(vm.find("\"on\""), 4, "\"off\"");
  ASSERT_TRUE(WriteFile(executor_.VmFile(), vm));
  const std::vector<std::string> disks = Disks();
  const exec::StartTaskRequest request = executor_.NewBackup();
  ASSERT_TRUE(executor_.StartTask(request).ok());
  const exec::TaskEnded ended = executor_.ReadEnd(request.task());
  EXPECT_EQ(ended.outcome(), exec::TaskEnded::DONE) << ended.ShortDebugString();
  EXPECT_EQ(ended.backup().consistency(), Backup::CRASH);
  executor_.VerifyBackup(request.backup(), disks);
  EXPECT_THAT(executor_.Leftovers(), IsEmpty());
}

TEST_F(ExecutorBackupTest, WrongRepositoryIsRefusedBeforeTheVmIsTouched) {
  exec::StartTaskRequest request = executor_.NewBackup();
  request.mutable_backup()->set_repository(2);  // with the id of 1
  ASSERT_TRUE(executor_.StartTask(request).ok());
  const exec::TaskEnded ended = executor_.ReadEnd(request.task());
  EXPECT_EQ(ended.outcome(), exec::TaskEnded::FAILED);
  EXPECT_EQ(ended.failure().phase(), "PREFLIGHT");
  EXPECT_EQ(ended.failure().reason(), "REPOSITORY_MISMATCH");
  EXPECT_FALSE(ended.failure().retryable());
  EXPECT_FALSE(ended.snapshot_taken());
  EXPECT_THAT(executor_.Leftovers(), IsEmpty());
}

TEST_F(ExecutorBackupTest, RequiredQuiesceWithoutAnAgentFailsAndLeavesNothing) {
  std::string vm = ReadFile(executor_.VmFile());
  const size_t at = vm.find("true", vm.find("guest_agent"));
  vm.replace(at, 4, "false");
  ASSERT_TRUE(WriteFile(executor_.VmFile(), vm));
  exec::StartTaskRequest request = executor_.NewBackup();
  request.mutable_backup()->set_quiesce(Backup::REQUIRED);
  ASSERT_TRUE(executor_.StartTask(request).ok());
  const exec::TaskEnded ended = executor_.ReadEnd(request.task());
  EXPECT_EQ(ended.failure().reason(), "QUIESCE_FAILED");
  EXPECT_EQ(ended.failure().phase(), "SNAPSHOTTING");
  EXPECT_FALSE(ended.snapshot_taken());
  EXPECT_THAT(executor_.Leftovers(), IsEmpty());
}

TEST_F(ExecutorBackupTest, UnknownVmFailsWithItsReason) {
  exec::StartTaskRequest request = executor_.NewBackup();
  request.mutable_backup()->set_vm_uuid("11111111-2222-4333-8444-555555555555");
  ASSERT_TRUE(executor_.StartTask(request).ok());
  EXPECT_EQ(executor_.ReadEnd(request.task()).failure().reason(), "VM_NOT_FOUND");
}

}  // namespace
}  // namespace vmkeep::test
