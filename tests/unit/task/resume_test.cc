// The executor dies and comes up again: which tasks go on, and which are merged and failed.
#include "executor/task/resume.h"

#include "executor/task/overlay_keeper.h"
#include "tests/unit/task/task_manager_fixture.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

namespace vmkeep::executor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::vmkeep::test::IsOk;

class ResumeTest : public TaskManagerTest {
 protected:
  ResumeTest() {
    worker_.on_request = [this](const worker::v1::Request& request) {
      if (request.has_copy()) {
        copies_.push_back(absl::StrCat(request.copy().file(), request.copy().resume() ? "+" : ""));
      }
    };
  }
  // A backup in the copy of its `disk`th disk, and the process gone.
  TaskRecord KilledInCopy(int disk) {
    int copies = 0;
    const size_t jobs = worker_.jobs().size();
    worker_.on_copy = [&copies, disk](const std::stop_token& stop) {
      return ++copies < disk ? absl::OkStatus() : Hang(stop);
    };
    TaskRecord record = Started();
    EXPECT_TRUE(
        Eventually([&] { return worker_.jobs().size() >= jobs + 1 + static_cast<size_t>(disk); }));
    tasks_ = nullptr;  // abandoned: the journal's last word is the intent
    worker_.on_copy = nullptr;
    EXPECT_THAT(Overlays(), SizeIs(2));
    copies_.clear();
    return record;
  }
  // The next process.
  v1::TaskEnded EndAfterRestart(const TaskRecord& record) {
    Restart();
    EXPECT_THAT(tasks_->Recover(), IsOk());
    return End(record);
  }
  void ExpectMerged(const v1::TaskEnded& ended, const std::string& why) {
    EXPECT_EQ(ended.outcome(), v1::TaskEnded::FAILED);
    EXPECT_EQ(ended.failure().reason(), "EXECUTOR_RESTARTED");
    EXPECT_EQ(ended.failure().phase(), "COPYING");
    EXPECT_THAT(ended.failure().message(), HasSubstr(why));
    EXPECT_TRUE(ended.failure().retryable());
    EXPECT_FALSE(ended.vm_on_overlay() || ended.files_may_remain());
    EXPECT_THAT(copies_, IsEmpty());
    EXPECT_EQ(OverlayFiles(), 0);
    EXPECT_EQ(worker_.jobs().back(), "discard");
  }

  std::vector<std::string> copies_;  // asked for; "+": to be gone on with
};

// Seen red: with the finished copy run again, and without the request's flag.
TEST_F(ResumeTest, TheCopyUnderWayIsGoneOnWithAndNoFinishedOneIsMadeAgain) {
  const TaskRecord record = KilledInCopy(2);
  EXPECT_EQ(EndAfterRestart(record).outcome(), v1::TaskEnded::DONE);
  EXPECT_THAT(copies_, ElementsAre("disk-vdb.raw+"));
  EXPECT_EQ(OverlayFiles(), 0);
}

TEST_F(ResumeTest, DisksAfterTheOneUnderWayAreCopiedAsEver) {
  const TaskRecord record = KilledInCopy(1);
  EXPECT_EQ(EndAfterRestart(record).outcome(), v1::TaskEnded::DONE);
  EXPECT_THAT(copies_, ElementsAre("disk-vda.raw+", "disk-vdb.raw"));
  EXPECT_THAT(worker_.jobs(), ElementsAre("probe", "copy disk-vda.raw", "probe",
                                          "copy disk-vda.raw", "copy disk-vdb.raw", "publish"));
}

TEST_F(ResumeTest, ItMayDieAsOftenAsItLikes) {
  const TaskRecord record = KilledInCopy(1);
  for (int i = 0; i < 3; ++i) {
    worker_.on_copy = Hang;
    const size_t jobs = worker_.jobs().size();
    Restart();
    ASSERT_THAT(tasks_->Recover(), IsOk());
    ASSERT_TRUE(Eventually([&] { return worker_.jobs().size() >= jobs + 2; }));
    tasks_ = nullptr;
  }
  worker_.on_copy = nullptr;
  EXPECT_EQ(EndAfterRestart(record).outcome(), v1::TaskEnded::DONE);
}

// Each condition of the table. Seen red: with each look in WhyNot() taken out, one after another.
TEST_F(ResumeTest, BootedHostMeansMerge) {
  const TaskRecord record = KilledInCopy(1);
  boot_id_ = "another boot";
  ExpectMerged(EndAfterRestart(record), "booted");
}

TEST_F(ResumeTest, ChangedBaseMeansMerge) {
  const std::vector<std::function<void(const std::string&)>> changes = {
      [](const std::string& path) { std::ofstream(path, std::ios::in | std::ios::out) << "x"; },
      [](const std::string& path) {  // the size alone
        const auto time = std::filesystem::last_write_time(path);
        std::filesystem::resize_file(path, std::filesystem::file_size(path) + 4096);
        std::filesystem::last_write_time(path, time);
      },
      [](const std::string& path) {  // the inode alone
        const auto time = std::filesystem::last_write_time(path);
        std::filesystem::copy_file(path, path + ".new");
        std::filesystem::last_write_time(path + ".new", time);
        std::filesystem::rename(path + ".new", path);
      },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    SCOPED_TRACE(i);
    const TaskRecord record = KilledInCopy(1);
    changes[i](DiskPath("vda"));
    ExpectMerged(EndAfterRestart(record), "another file");
    copies_.clear();
  }
}

TEST_F(ResumeTest, TimeThatIsOverMeansMerge) {
  options_.copy_deadline = absl::Milliseconds(300);
  Restart();
  const TaskRecord record = KilledInCopy(1);
  RealClock().WaitFor(absl::Milliseconds(400), {});
  ExpectMerged(EndAfterRestart(record), "time that the copy may take");
}

TEST_F(ResumeTest, RepositoryThatDoesNotAnswerMeansMerge) {
  const TaskRecord record = KilledInCopy(1);
  worker_.on_probe_status = [] { return absl::UnavailableError("the NAS is gone"); };
  ExpectMerged(EndAfterRestart(record), "the NAS is gone");
}

TEST_F(ResumeTest, JournalWithoutTheBeginMeansMerge) {
  const TaskRecord record = KilledInCopy(1);
  SQLite::Database(folder_.path("state/journal.db"), SQLite::OPEN_READWRITE)
      .exec("UPDATE disk SET copy_base=NULL");
  ExpectMerged(EndAfterRestart(record), "not known");
}

TEST_F(ResumeTest, SourceThatTheWorkerFindsChangedMeansMerge) {
  const TaskRecord record = KilledInCopy(1);
  worker_.on_copy = [](const std::stop_token&) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "SOURCE_BUSY", "somebody writes");
  };
  const v1::TaskEnded ended = EndAfterRestart(record);
  copies_.clear();
  ExpectMerged(ended, "somebody writes");
}

TEST_F(ResumeTest, FailureOfTheCopyGoneOnWithIsToldAsItIs) {
  const TaskRecord record = KilledInCopy(1);
  worker_.on_copy = [](const std::stop_token&) {
    return MakeError(absl::StatusCode::kResourceExhausted, "REPOSITORY_FULL", "full");
  };
  EXPECT_EQ(EndAfterRestart(record).failure().reason(), "REPOSITORY_FULL");
  EXPECT_EQ(OverlayFiles(), 0);
}

// The probe hangs on a NAS that is gone; the cancel does not wait for it.
TEST_F(ResumeTest, CancelWhileItIsFoundOut) {
  const TaskRecord record = KilledInCopy(1);
  std::atomic<bool> probing = false;
  worker_.on_probe_status = [&] {
    probing = true;
    Eventually([&] { return !probing.load(); });
    return MakeError(absl::StatusCode::kCancelled, "CANCELLED", "cancelled");
  };
  Restart();
  ASSERT_THAT(tasks_->Recover(), IsOk());
  ASSERT_TRUE(Eventually([&] { return probing.load(); }));
  EXPECT_THAT(tasks_->Cancel(record.task), ::vmkeep::test::IsOkAndHolds(true));
  probing = false;
  EXPECT_EQ(End(record).outcome(), v1::TaskEnded::CANCELLED);
  EXPECT_THAT(copies_, IsEmpty());
  EXPECT_EQ(OverlayFiles(), 0);
}

TEST_F(ResumeTest, KeeperAndInventoryLeaveTheOverlaysOfAResumedTaskAlone) {
  const TaskRecord record = KilledInCopy(1);
  std::atomic<bool> go = false;
  worker_.on_copy = [&](const std::stop_token&) {
    Eventually([&] { return go.load(); });
    return absl::OkStatus();
  };
  Restart();
  ASSERT_THAT(tasks_->Recover(), IsOk());
  OverlayKeeper(*env_, *tasks_, [] {}).Look({});
  EXPECT_THAT(Overlays(), SizeIs(2));
  EXPECT_TRUE(tasks_->Lives(record.task.id));
  go = true;
  EXPECT_EQ(End(record).outcome(), v1::TaskEnded::DONE);
}

// Killed with all copies made, in each step up to the publish: what is missing is done, and the
// backup is published.
TEST_F(ResumeTest, BackupWithAllItsCopiesIsPublished) {
  for (const std::string step : {"merge", "check", "remove_overlay"}) {
    SCOPED_TRACE(step);
    hypervisor_.unreachable = false;
    options_.merge_deadline = absl::Minutes(5);
    Restart();
    std::atomic<int> copies = 0;
    worker_.on_copy = [&](const std::stop_token&) {
      if (++copies == 2) hypervisor_.unreachable = true;  // held at the first merge
      return absl::OkStatus();
    };
    const TaskRecord record = Started();
    ASSERT_TRUE(Eventually([&] {
      const auto tasks = journal_->Unfinished();
      return tasks.ok() && tasks->size() == 1 && tasks->front().state.running() > 3;
    }));
    Restart();
    // As if it had come as far as this step, and what is before it had happened.
    SQLite::Database db(folder_.path("state/journal.db"), SQLite::OPEN_READWRITE);
    db.exec(absl::StrCat("UPDATE step SET status='done' WHERE epoch=", record.task.epoch,
                         " AND ord<(SELECT min(ord) FROM step WHERE name='", step,
                         "' AND epoch=", record.task.epoch, ")"));
    db.exec(absl::StrCat("UPDATE step SET status='intent' WHERE epoch=", record.task.epoch,
                         " AND ord=(SELECT min(ord) FROM step WHERE name='", step,
                         "' AND epoch=", record.task.epoch, ")"));
    hypervisor_.unreachable = false;
    if (step != "merge") {
      const auto known = journal_->Unfinished();
      ASSERT_THAT(known, IsOk());
      for (const OverlayDisk& disk : known->front().data.overlays) {
        ASSERT_THAT(MergeDisk({sim_, RealClock(), absl::Seconds(10), {}}, disk), IsOk());
      }
    }
    const size_t jobs = worker_.jobs().size();
    ASSERT_THAT(tasks_->Recover(), IsOk());
    EXPECT_EQ(End(record).outcome(), v1::TaskEnded::DONE);
    const std::vector<std::string> all = worker_.jobs();
    EXPECT_THAT(std::vector<std::string>(all.begin() + static_cast<long>(jobs), all.end()),
                ElementsAre("publish"));
    EXPECT_EQ(OverlayFiles(), 0);
  }
}

TEST(IdentityTest, EveryFileOfAChainCounts) {
  const ::vmkeep::test::TempDir folder;
  Disk disk;
  disk.source = folder.path("top");
  disk.data_file = folder.path("top.data");
  disk.backing = {{folder.path("base"), "qcow2", folder.path("base.data")}};
  const std::vector<std::string> files = {disk.source, disk.data_file, disk.backing[0].file,
                                          disk.backing[0].data_file};
  for (const std::string& file : files) ASSERT_TRUE(::vmkeep::test::WriteFile(file, "x"));
  const auto before = IdentityOf(disk);
  ASSERT_THAT(before, IsOk());
  EXPECT_EQ(*before, *IdentityOf(disk));
  for (const std::string& file : files) {
    const auto old = IdentityOf(disk);
    std::filesystem::resize_file(file, 7);
    EXPECT_NE(*old, *IdentityOf(disk)) << file;
  }
  std::filesystem::remove(disk.backing[0].data_file);
  EXPECT_THAT(IdentityOf(disk), ::vmkeep::test::HasReason("DISK_CHANGED"));
}

}  // namespace
}  // namespace vmkeep::executor
