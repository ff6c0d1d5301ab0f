#include "executor/task/journal/journal.h"

#include "common/uuid.h"
#include "tests/fakes/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::executor {
namespace {

using test::HasReason;
using test::IsOk;
using test::IsOkAndHolds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kBackup[] = "0190a5b0-0000-7000-8000-00000000000b";
constexpr char kVm[] = "11111111-2222-4333-8444-555555555555";

class JournalTest : public ::testing::Test {
 protected:
  JournalTest() { Reopen(); }

  // As after a crash.
  void Reopen() {
    journal_ = nullptr;
    auto opened = Journal::Open(folder_.path(), clock_);
    ASSERT_THAT(opened, IsOk());
    journal_ = *std::move(opened);
  }

  TaskRecord Record(int64_t epoch, TaskKind kind = TaskKind::kBackup) {
    TaskRecord record;
    record.task = {NewUuid7(clock_.Now()), epoch};
    record.kind = kind;
    record.backup_id = kBackup;
    record.vm_uuid = kVm;
    record.slot = 2;
    record.repository_id = "r";
    record.accept_time = clock_.Now();
    if (kind == TaskKind::kBackup) {
      record.backup.set_backup_id(kBackup);
      record.backup.set_vm_uuid(kVm);
      record.backup.set_repository(2);
      record.backup.set_repository_id("r");
      record.backup.set_name("nightly");
    }
    return record;
  }
  TaskRecord Accepted(int64_t epoch, TaskKind kind = TaskKind::kBackup) {
    TaskRecord record = Record(epoch, kind);
    EXPECT_THAT(journal_->Accept(record, NewTask(kind)), IsOkAndHolds(false));
    return record;
  }
  void End(const TaskRecord& record, Ending ending = {}) {
    TaskState state = NewTask(record.kind);
    state.ended = true;
    v1::Event event;
    event.mutable_ended();
    ASSERT_THAT(journal_->End(record.task, state, ending, {event}), IsOk());
  }
  int64_t LastSequence() { return journal_->LastSequence().value_or(-1); }

  test::TempDir folder_;
  test::FakeClock clock_;
  std::unique_ptr<Journal> journal_;
};

TEST_F(JournalTest, FileIsForItsOwnerOnlyBecauseItHoldsSecrets) {
  struct stat found = {};
  for (const char* name : {"journal.db", "journal.db-wal"}) {
    ASSERT_EQ(stat(folder_.path(name).c_str(), &found), 0) << name;
    EXPECT_EQ(found.st_mode & 0777, 0600u) << name;
  }
}

TEST_F(JournalTest, ExecutorIdStays) {
  const std::string id = journal_->executor_id();
  EXPECT_TRUE(IsUuid(id));
  Reopen();
  EXPECT_EQ(journal_->executor_id(), id);
}

TEST_F(JournalTest, AcceptedTaskIsThereAfterACrash) {
  const TaskRecord record = Accepted(3);
  Reopen();
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto tasks, journal_->Unfinished());
  ASSERT_THAT(tasks, SizeIs(1));
  EXPECT_EQ(tasks[0].record.task, record.task);
  EXPECT_EQ(tasks[0].record.backup.name(), "nightly");
  EXPECT_EQ(tasks[0].record.slot, 2);
  EXPECT_EQ(tasks[0].record.accept_time, record.accept_time);
  EXPECT_EQ(tasks[0].state, NewTask(TaskKind::kBackup));
}

TEST_F(JournalTest, SecondAcceptSaysKnown) {
  const TaskRecord record = Accepted(1);
  EXPECT_THAT(journal_->Accept(record, NewTask(record.kind)), IsOkAndHolds(true));
  EXPECT_THAT(journal_->Known(record.task, kBackup), IsOkAndHolds(true));
}

TEST_F(JournalTest, LowerEpochIsRefusedAlsoWhenTheTaskIsForgotten) {
  const TaskRecord record = Accepted(5);
  EXPECT_THAT(journal_->Accept(Record(4), {}), HasReason("STALE_EPOCH"));
  EXPECT_THAT(journal_->Accept(Record(5), {}), HasReason("STALE_EPOCH")) << "another task";
  End(record);
  ASSERT_THAT(journal_->Acknowledge(LastSequence()), IsOk());
  EXPECT_THAT(journal_->List(), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(journal_->Known(record.task, kBackup), IsOkAndHolds(true)) << "a late duplicate";
  EXPECT_THAT(journal_->Known(Record(4).task, kBackup), HasReason("STALE_EPOCH"));
  EXPECT_THAT(journal_->Known(Record(6).task, kBackup), IsOkAndHolds(false));
}

TEST_F(JournalTest, CancelThatOvertakesItsTaskKeepsItOut) {
  const TaskRecord record = Record(1);
  EXPECT_THAT(journal_->RefuseUnlessUnfinished(record.task), IsOkAndHolds(false));
  EXPECT_THAT(journal_->Accept(record, NewTask(record.kind)), HasReason("STALE_EPOCH"));
}

TEST_F(JournalTest, CancelOfAnUnfinishedTaskKeepsNothingOut) {
  const TaskRecord record = Accepted(1);
  EXPECT_THAT(journal_->RefuseUnlessUnfinished(record.task), IsOkAndHolds(true));
  End(record);
  EXPECT_THAT(journal_->RefuseUnlessUnfinished(record.task), IsOkAndHolds(false));
}

// Seen red: with an overlay read back for each disk, and with a seal that is not kept.
TEST_F(JournalTest, ExportComesBackWithoutOverlays) {
  const TaskRecord record = Accepted(1);
  EXPECT_THAT(journal_->ExportFolder(record.task), IsOkAndHolds(""));
  BackupData put;
  put.vm.name = "web";
  put.vm.disks.resize(2);
  put.vm.disks[0].target = "scsi0x0";
  put.vm.disks[0].source = "C:\\vm\\web.avhdx";
  put.vm.disks[0].format = "vhdx";
  put.vm.disks[0].backing = {{"C:\\vm\\web.vhdx", "vhdx", ""}};
  put.vm.disks[1].target = "scsi0x1";
  ASSERT_THAT(journal_->PutPreflight(record.task, put), IsOk());
  ASSERT_THAT(journal_->PutExportFolder(record.task, "//nas/b/.export"), IsOk());
  Reopen();
  EXPECT_THAT(journal_->ExportFolder(record.task), IsOkAndHolds("//nas/b/.export"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto exporting, journal_->Unfinished());
  EXPECT_EQ(exporting.at(0).data.export_folder, "//nas/b/.export");
  EXPECT_FALSE(exporting[0].data.sealed.has_value());

  worker::v1::SealExportResult sealed;
  sealed.add_disks()->set_file("export/web.avhdx");
  sealed.add_files()->set_role("parent");
  ASSERT_THAT(journal_->PutSealed(record.task, sealed), IsOk());
  Reopen();
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto found, journal_->Unfinished());
  const BackupData& data = found.at(0).data;
  EXPECT_THAT(data.overlays, IsEmpty());
  ASSERT_THAT(data.vm.disks, SizeIs(2));
  EXPECT_EQ(data.vm.disks[0].backing.at(0).file, "C:\\vm\\web.vhdx");
  ASSERT_TRUE(data.sealed.has_value());
  EXPECT_EQ(data.sealed->SerializeAsString(), sealed.SerializeAsString());
  // All of it goes with the task.
  End(record);
  ASSERT_THAT(journal_->Acknowledge(LastSequence()), IsOk());
  EXPECT_THAT(journal_->ExportFolder(record.task), IsOkAndHolds(""));
}

TEST_F(JournalTest, StepsThatAreNoMoreAreNotReadBack) {
  const TaskRecord record = Accepted(1);
  TaskState state = NewTask(record.kind);
  state.steps.resize(2);
  ASSERT_THAT(journal_->Save(record.task, state, {}), IsOk());
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto tasks, journal_->Unfinished());
  EXPECT_EQ(tasks.at(0).state, state);
}

TEST_F(JournalTest, StateComesBackAsItWasSaved) {
  const TaskRecord record = Accepted(1);
  TaskState state = NewTask(record.kind);
  state = Advance(state, {TaskEvent::Kind::kStart, {}, {}}).next;
  state = Advance(state, {TaskEvent::Kind::kStepSucceeded, {}, {"vda", "vdb"}}).next;
  state = Advance(state, {TaskEvent::Kind::kStepSucceeded, {}, {}}).next;
  state = Advance(state, {TaskEvent::Kind::kStepFailed,
                          MakeError(absl::StatusCode::kResourceExhausted, "REPOSITORY_FULL", "full",
                                    {{"free_bytes", "7"}}),
                          {}})
              .next;
  state.cancelled = true;
  ASSERT_THAT(journal_->Save(record.task, state, {}), IsOk());
  Reopen();
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto tasks, journal_->Unfinished());
  ASSERT_THAT(tasks, SizeIs(1));
  EXPECT_EQ(tasks[0].state.steps, state.steps);
  EXPECT_TRUE(tasks[0].state.cancelled);
  EXPECT_EQ(tasks[0].state.failed_in, StepKind::kCopy);
  EXPECT_EQ(tasks[0].state.failure, state.failure);
}

TEST_F(JournalTest, FailureThatIsNoUtf8ComesBackAsAFailure) {
  const TaskRecord record = Accepted(1);
  TaskState state = NewTask(record.kind);
  state.failure = absl::DataLossError("bad \xff file");
  ASSERT_THAT(journal_->Save(record.task, state, {}), IsOk());
  Reopen();
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto tasks, journal_->Unfinished());
  ASSERT_THAT(tasks, SizeIs(1));
  EXPECT_THAT(tasks[0].state.failure,
              test::StatusIs(absl::StatusCode::kDataLoss, ::testing::Eq("bad ? file")));
}

TEST_F(JournalTest, WhatMergingAndPublishingNeedComesBack) {
  const TaskRecord record = Accepted(1);
  VmDescription vm{.uuid = kVm,
                   .name = "web 1",
                   .power = PowerState::kPaused,
                   .disks = {{.target = "vda",
                              .source = "/d/a=1.raw",
                              .format = "qcow2",
                              .data_file = "/d/a.data",
                              .backing = {{"/d/b", "qcow2", "/d/b.data"}, {"/gold", "raw", ""}},
                              .block_device = true,
                              .virtual_bytes = int64_t{1} << 40,
                              .data_bytes = 5,
                              .dev = ~uint64_t{0},
                              .ino = 9,
                              .uid = 64055,
                              .gid = 2,
                              .mode = 0600}},
                   .excluded = {{"sda", "CDROM"}, {"sdb", "EMPTY"}},
                   .not_included = {"TPM state"},
                   .nvram = "/n",
                   .live_xml = std::string("<a>\0</a>", 8),
                   .inactive_xml = "<b/>"};
  const BackupData put{.vm = vm,
                       .restore_xml = "<c/>",
                       .overlays = {{kVm, "vda", "/d/a=1.raw", "qcow2", "/o"}},
                       .snapshot = {},
                       .copies_begun = {},
                       .copies = {}};
  // A preflight that is repeated replaces the one before.
  BackupData earlier = put;
  earlier.vm.disks[0].backing.push_back({"/gone", "raw", ""});
  ASSERT_THAT(journal_->PutPreflight(record.task, earlier), IsOk());
  ASSERT_THAT(journal_->PutPreflight(record.task, put), IsOk());
  const SnapshotResult snapshot{absl::FromUnixNanos(123456789), Consistency::kFilesystem, "froze"};
  ASSERT_THAT(journal_->PutSnapshot(record.task, snapshot), IsOk());
  const CopyBegin begin{.base = "file 1 2 3 4\n", .boot_id = "b", .until = absl::Nanoseconds(5)};
  ASSERT_THAT(journal_->PutCopyBegin(record.task, "vda", begin), IsOk());
  worker::v1::CopyResult copy;
  copy.set_file_bytes(77);
  ASSERT_THAT(journal_->PutCopy(record.task, "vda", copy), IsOk());
  Reopen();
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto found, journal_->FindByOverlay(record.task.id));
  ASSERT_TRUE(found.has_value());
  const BackupData& data = found->data;
  ASSERT_TRUE(data.copies_begun.contains("vda"));
  EXPECT_EQ(data.copies_begun.at("vda").base, begin.base);
  EXPECT_EQ(data.copies_begun.at("vda").boot_id, begin.boot_id);
  EXPECT_EQ(data.copies_begun.at("vda").until, begin.until);
  EXPECT_EQ(data.vm.name, "web 1");
  EXPECT_EQ(data.vm.power, PowerState::kPaused);
  EXPECT_EQ(data.vm.live_xml, vm.live_xml);
  EXPECT_EQ(data.vm.inactive_xml, vm.inactive_xml);
  EXPECT_EQ(data.restore_xml, "<c/>");
  EXPECT_EQ(data.vm.nvram, "/n");
  EXPECT_THAT(data.vm.not_included, ElementsAre("TPM state"));
  ASSERT_THAT(data.vm.excluded, SizeIs(2));
  EXPECT_EQ(data.vm.excluded[1].target, "sdb");
  EXPECT_EQ(data.vm.excluded[1].reason, "EMPTY");
  ASSERT_THAT(data.vm.disks, SizeIs(1));
  EXPECT_EQ(data.vm.disks[0].source, "/d/a=1.raw");
  EXPECT_EQ(data.vm.disks[0].virtual_bytes, int64_t{1} << 40);
  EXPECT_EQ(data.vm.disks[0].dev, ~uint64_t{0});
  EXPECT_EQ(data.vm.disks[0].uid, 64055u);
  EXPECT_EQ(data.vm.disks[0].data_file, "/d/a.data");
  EXPECT_TRUE(data.vm.disks[0].block_device);
  ASSERT_THAT(data.vm.disks[0].backing, SizeIs(2));
  EXPECT_EQ(data.vm.disks[0].backing[0].file, "/d/b");
  EXPECT_EQ(data.vm.disks[0].backing[0].format, "qcow2");
  EXPECT_EQ(data.vm.disks[0].backing[0].data_file, "/d/b.data");
  EXPECT_EQ(data.vm.disks[0].backing[1].file, "/gold");
  EXPECT_EQ(data.overlays[0].overlay, "/o");
  EXPECT_EQ(data.overlays[0].vm_uuid, kVm);
  ASSERT_TRUE(data.snapshot.has_value());
  EXPECT_EQ(data.snapshot->instant, snapshot.instant);
  EXPECT_EQ(data.snapshot->consistency, Consistency::kFilesystem);
  EXPECT_EQ(data.copies.at("vda").file_bytes(), 77);
}

TEST_F(JournalTest, EventsAreNumberedAndStayUntilAcknowledged) {
  const TaskRecord record = Accepted(1);
  v1::Event event;
  event.mutable_step()->set_step("preflight");
  ASSERT_THAT(journal_->Save(record.task, NewTask(record.kind), {event, event}), IsOk());
  Reopen();
  VMKEEP_ASSERT_OK_AND_ASSIGN(auto events, journal_->EventsAfter(0, 10));
  ASSERT_THAT(events, SizeIs(2));
  EXPECT_EQ(events[1].sequence(), events[0].sequence() + 1);
  EXPECT_EQ(events[1].step().step(), "preflight");
  const int64_t last = events[1].sequence();
  EXPECT_THAT(journal_->EventsAfter(events[0].sequence(), 10), IsOkAndHolds(SizeIs(1)));
  EXPECT_THAT(journal_->EventsAfter(0, 1), IsOkAndHolds(SizeIs(1)));
  ASSERT_THAT(journal_->Acknowledge(last), IsOk());
  Reopen();
  EXPECT_THAT(journal_->EventsAfter(0, 10), IsOkAndHolds(IsEmpty()));
  EXPECT_EQ(LastSequence(), last) << "numbers do not start again";
}

TEST_F(JournalTest, EndedTaskIsListedUntilItsEndIsAcknowledged) {
  const TaskRecord record = Accepted(1);
  End(record);
  EXPECT_THAT(journal_->Unfinished(), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(journal_->List(), IsOkAndHolds(SizeIs(1)));
  ASSERT_THAT(journal_->Acknowledge(LastSequence()), IsOk());
  EXPECT_THAT(journal_->List(), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(journal_->FindByOverlay(record.task.id), IsOkAndHolds(::testing::Eq(std::nullopt)));
}

TEST_F(JournalTest, WhatWasLeftBehindIsKeptPastTheAcknowledgement) {
  const TaskRecord record = Accepted(1);
  Ending ending;
  ending.outcome = Outcome::kFailed;
  ending.vm_on_overlay = true;
  ending.files_may_remain = true;
  End(record, ending);
  ASSERT_THAT(journal_->Acknowledge(LastSequence()), IsOk());
  EXPECT_THAT(journal_->List(), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(journal_->Stranded(), IsOkAndHolds(SizeIs(1)));
  EXPECT_THAT(journal_->Leftovers(), IsOkAndHolds(SizeIs(1)));
  ASSERT_THAT(journal_->ForgetOverlays(record.task), IsOk());
  EXPECT_THAT(journal_->Stranded(), IsOkAndHolds(IsEmpty()));
  ASSERT_THAT(journal_->ForgetFiles(record.task), IsOk());
  EXPECT_THAT(journal_->Leftovers(), IsOkAndHolds(IsEmpty()));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto gone, journal_->FindByOverlay(record.task.id));
  EXPECT_FALSE(gone.has_value());
}

TEST_F(JournalTest, WorkersAreRememberedUntilTheyEnd) {
  ASSERT_THAT(journal_->PutWorker({.pid = 7, .start_time = 99, .repository_id = "r"}), IsOk());
  Reopen();
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto workers, journal_->Workers());
  ASSERT_THAT(workers, SizeIs(1));
  EXPECT_EQ(workers[0].start_time, 99u);
  ASSERT_THAT(journal_->RemoveWorker(7, 99), IsOk());
  EXPECT_THAT(journal_->Workers(), IsOkAndHolds(IsEmpty()));
}

}  // namespace
}  // namespace vmkeep::executor
