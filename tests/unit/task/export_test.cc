// Backups whose files the hypervisor writes itself. Hypervisor and worker are the tests' own.
#include "executor/task/export.h"

#include "common/error.h"
#include "common/mutex.h"
#include "executor/hypervisor/errors.h"
#include "executor/task/overlay_keeper.h"
#include "executor/task/repositories.h"
#include "tests/unit/task/fake_exporter.h"
#include "tests/unit/task/task_manager_fixture.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace vmkeep::executor {
namespace {

using test::FakeExporter;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::vmkeep::test::IsOk;
using ::vmkeep::test::IsOkAndHolds;
using Calls = std::vector<std::string>;

constexpr int64_t kDataBytes = 1 << 30;

Disk DiskOf(const std::string& target, const std::string& source) {
  Disk disk;
  disk.target = target;
  disk.source = source;
  disk.format = "vhdx";
  disk.virtual_bytes = 4 * kDataBytes;
  disk.data_bytes = kDataBytes;
  return disk;
}

VmDescription Web() {
  VmDescription vm;
  vm.uuid = SimVmUuid("web-1");
  vm.name = "web";
  vm.power = PowerState::kOn;
  vm.disks = {DiskOf("scsi0x0", "C:\\ClusterStorage\\web\\system_1.avhdx"),
              DiskOf("scsi0x1", "D:/data/Data.vhdx")};
  vm.disks[0].backing = {{"C:\\ClusterStorage\\gold\\system.vhdx", "vhdx", ""}};
  vm.excluded = {{"ide0x1", "LUN"}};
  vm.not_included = {"vTPM key protector"};
  return vm;
}

std::string NameOf(worker::v1::Request::JobCase job) {
  using Job = worker::v1::Request::JobCase;
  switch (job) {
    case Job::kProbe:
      return "probe";
    case Job::kPrepareExport:
      return "prepare";
    case Job::kSealExport:
      return "seal";
    case Job::kPublish:
      return "publish";
    case Job::kDiscard:
      return "discard";
    case Job::kScrub:
      return "scrub";
    default:
      return "another job";
  }
}

class ExportTest : public TaskManagerTest {
 protected:
  ExportTest() {
    hypervisor_.DelegateTo(exporter_);
    exporter_.note = [this](const std::string& call) { Note(call); };
    worker_.on_request = [this](const worker::v1::Request& request) {
      if (request.has_seal_export()) seal_ = request.seal_export();
      if (request.has_publish()) publish_ = request.publish();
      Note(NameOf(request.job_case()));
    };
  }
  void Note(const std::string& call) {
    MutexLock lock(&mu_);
    calls_.push_back(call);
  }
  // What hypervisor and worker were asked for since the last time, in order.
  Calls TakeCalls() {
    MutexLock lock(&mu_);
    return std::exchange(calls_, {});
  }
  bool Called(const std::string& call, int times = 1) {
    return Eventually([&] {
      MutexLock lock(&mu_);
      return std::count(calls_.begin(), calls_.end(), call) >= times;
    });
  }
  // Exports until the test says otherwise, and moves.
  void Endless() {
    exporter_.on_status = [this] { return FakeExporter::Running(1, ++moved_); };
  }
  // The process dies, and what it knew is gone; the next one comes up.
  void Die() {
    tasks_ = nullptr;  // abandoned: the journal's last word is the intent
    exporter_.Forget();
    exporter_.on_status = nullptr;
    exporter_.on_end = nullptr;
    worker_.on_seal = nullptr;
    worker_.on_publish = nullptr;
    TakeCalls();
  }
  v1::TaskEnded EndAfterRestart(const TaskRecord& record) {
    Restart();
    EXPECT_THAT(tasks_->Recover(), IsOk());
    return End(record);
  }
  static std::string FolderOf(const TaskRecord& record) {
    return absl::StrCat("//nas/backup/", record.task.ToString(), "/.export");
  }
  static absl::Status StillWriting() {
    return error::ExportNotEnded(SimVmUuid("web-1"), "STILL_EXPORTING");
  }

  FakeExporter exporter_{Web()};
  std::atomic<int64_t> moved_ = 0;
  worker::v1::SealExport seal_;
  worker::v1::Publish publish_;
  Mutex mu_;
  Calls calls_ ABSL_GUARDED_BY(mu_);
};

TEST_F(ExportTest, IsEndedSealedAndPublishedWithWhatItHolds) {
  TaskRecord record = NewRecord();
  record.backup.set_quiesce(::vmkeep::v1::Backup::REQUIRED);
  ASSERT_THAT(tasks_->Start(record), IsOk());
  const v1::TaskEnded ended = End(record);
  EXPECT_EQ(ended.outcome(), v1::TaskEnded::DONE);
  EXPECT_THAT(TakeCalls(), ElementsAre("probe", "prepare", "start", "end", "seal", "publish"));
  ASSERT_THAT(exporter_.plans(), SizeIs(1));
  EXPECT_EQ(exporter_.plans()[0].folder, FolderOf(record));
  EXPECT_EQ(exporter_.plans()[0].vm_uuid, record.vm_uuid);
  EXPECT_EQ(exporter_.plans()[0].quiesce, QuiescePolicy::kRequired);
  EXPECT_THAT(exporter_.ended(), ElementsAre(FolderOf(record)));

  // Names without folders, whatever separates those.
  EXPECT_EQ(seal_.incoming(), record.task.ToString());
  ASSERT_EQ(seal_.disks_size(), 2);
  EXPECT_EQ(seal_.disks(0).file(), "system_1.avhdx");
  EXPECT_THAT(seal_.disks(0).parents(), ElementsAre("system.vhdx"));
  EXPECT_EQ(seal_.disks(1).file(), "Data.vhdx");
  EXPECT_GT(seal_.stall_seconds(), 0);

  const manifest::v1::Manifest& manifest = publish_.manifest();
  EXPECT_EQ(manifest.hypervisor(), "hyperv");
  EXPECT_EQ(manifest.time_valid().seconds(), 1'000'000);
  EXPECT_EQ(manifest.consistency(), "APPLICATION");
  EXPECT_EQ(manifest.quiesce().policy(), "REQUIRED");
  ASSERT_EQ(manifest.disks_size(), 2);
  const manifest::v1::Disk& disk = manifest.disks(0);
  EXPECT_EQ(disk.file(), "export/Virtual Hard Disks/system_1.avhdx");
  EXPECT_EQ(disk.format(), "vhdx") << "a chain is no flat raw image here";
  EXPECT_EQ(disk.source().path(), Web().disks[0].source);
  EXPECT_THAT(disk.source().chain(), ElementsAre(Web().disks[0].backing[0].file));
  EXPECT_EQ(disk.digest().root(), "root of scsi0x0");
  ASSERT_EQ(publish_.sealed_files_size(), 2);
  EXPECT_EQ(publish_.sealed_files(0).role(), "export");
  EXPECT_EQ(publish_.sealed_files(1).role(), "parent");
  EXPECT_EQ(publish_.small_files_size(), 0) << "no domain.xml";
  EXPECT_EQ(ended.backup().virtual_bytes(), 8 * kDataBytes);
  EXPECT_EQ(ended.backup().data_bytes(), 2 * (1 << 19) + (1 << 10)) << "with that of the parent";
  EXPECT_THAT(ended.backup().excluded_disks(), SizeIs(1));
}

TEST_F(ExportTest, TheInstantIsToldWithTheStep) {
  End(Started());
  Calls steps;
  VMKEEP_ASSERT_OK_AND_ASSIGN(const std::vector<v1::Event> events, journal_->EventsAfter(0, 100));
  for (const v1::Event& event : events) {
    if (!event.has_step()) continue;
    steps.push_back(event.step().step());
    EXPECT_EQ(event.step().has_time_valid(), event.step().step() == "export");
  }
  EXPECT_THAT(steps, ElementsAre("preflight", "export", "end_export", "seal", "publish"));
}

TEST_F(ExportTest, WhatCannotBeExportedIsRefusedBeforeAnythingIsBegun) {
  worker_.free_bytes = 2 * kDataBytes - 1;
  v1::TaskEnded ended = End(Started());
  EXPECT_EQ(ended.failure().reason(), "REPOSITORY_FULL");
  EXPECT_EQ(ended.failure().metadata().at("needed_bytes"), absl::StrCat(2 * kDataBytes));
  EXPECT_FALSE(ended.snapshot_taken());
  worker_.free_bytes = 2 * kDataBytes;
  exporter_.SetFormat("qcow2");
  ended = End(Started());
  EXPECT_EQ(ended.failure().reason(), "CANNOT_BACK_UP");
  EXPECT_THAT(ended.failure().message(), HasSubstr("vhdx and vhd"));
  EXPECT_THAT(TakeCalls(), ElementsAre("probe"));
}

// Seen red: with a floor that is the percentage of one disk alone.
TEST_F(ExportTest, ItsProgressIsOfBytesOrOfThePercentageWhicheverIsMore) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto subscription, events_->Subscribe(0, [] {}));
  const auto told = [&](int64_t done) {
    bool found = false;
    return Eventually([&] {
      const auto events = subscription->Next(100);
      for (const v1::Event& event : *events) {
        if (found || event.progress().bytes_done() != done) continue;
        found = true;
        EXPECT_EQ(event.progress().phase(), ::vmkeep::v1::Progress::EXPORTING);
        EXPECT_EQ(event.progress().bytes_total(), std::max(done, 2 * kDataBytes));
      }
      return found;
    });
  };
  std::atomic<int> percent = 50;
  std::atomic<int64_t> bytes = 5;
  exporter_.on_status = [&] { return FakeExporter::Running(percent, bytes); };
  const TaskRecord record = Started();
  EXPECT_TRUE(told(kDataBytes));
  bytes = kDataBytes + 7;
  EXPECT_TRUE(told(kDataBytes + 7));
  bytes = 3 * kDataBytes;  // the VM grew
  EXPECT_TRUE(told(3 * kDataBytes));
  ASSERT_THAT(tasks_->Cancel(record.task), IsOk());
  End(record);
}

// Seen red: with a discard that does not wait for the end.
TEST_F(ExportTest, CancelEndsItBeforeAnythingIsRemoved) {
  Endless();
  const TaskRecord record = Started();
  ASSERT_TRUE(Called("start"));
  TakeCalls();
  EXPECT_THAT(tasks_->Cancel(record.task), IsOkAndHolds(true));
  const v1::TaskEnded ended = End(record);
  EXPECT_EQ(ended.outcome(), v1::TaskEnded::CANCELLED);
  EXPECT_FALSE(ended.files_may_remain());
  // Asked by the step, and once more by whoever removes.
  EXPECT_THAT(TakeCalls(), ElementsAre("end", "end", "discard"));
}

TEST_F(ExportTest, FailureOfTheHypervisorIsToldAsItIs) {
  exporter_.on_status = [] {
    return ExportStatus{.phase = ExportPhase::kFailed,
                        .percent = 3,
                        .bytes_done = 3,
                        .error = MakeError(absl::StatusCode::kPermissionDenied, "NO_ACCESS", "no"),
                        .result = {}};
  };
  const v1::TaskEnded ended = End(Started());
  EXPECT_EQ(ended.failure().reason(), "NO_ACCESS");
  EXPECT_EQ(ended.failure().phase(), "EXPORTING");
  EXPECT_TRUE(ended.snapshot_taken());
  EXPECT_THAT(TakeCalls(), ElementsAre("probe", "prepare", "start", "end", "end", "discard"));
}

TEST_F(ExportTest, StartThatIsRefusedIsEndedAllTheSame) {
  exporter_.on_start = [] { return error::VmBusy(SimVmUuid("web-1"), "an export by somebody"); };
  const v1::TaskEnded ended = End(Started());
  EXPECT_EQ(ended.failure().reason(), "VM_BUSY");
  EXPECT_THAT(TakeCalls(), ElementsAre("probe", "prepare", "start", "end", "end", "discard"));
}

TEST_F(ExportTest, WithoutAFolderThereIsNothingToEnd) {
  worker_.on_prepare = [] { return absl::UnavailableError("the NAS is gone"); };
  const v1::TaskEnded ended = End(Started());
  EXPECT_EQ(ended.failure().phase(), "EXPORTING");
  EXPECT_THAT(TakeCalls(), ElementsAre("probe", "prepare", "discard"));
}

TEST_F(ExportTest, StandstillIsGivenUp) {
  options_.export_stall_timeout = absl::Milliseconds(300);
  Restart();
  exporter_.on_status = [] { return FakeExporter::Running(7, 7); };
  const v1::TaskEnded ended = End(Started());
  EXPECT_EQ(ended.failure().reason(), "EXPORT_STALLED");
  EXPECT_TRUE(ended.failure().retryable());
  EXPECT_FALSE(ended.files_may_remain());
}

TEST_F(ExportTest, HypervisorThatDoesNotAnswerIsAStandstillToo) {
  options_.export_stall_timeout = absl::Milliseconds(300);
  Restart();
  exporter_.on_status = [] { return error::HypervisorUnavailable("it sleeps"); };
  const v1::TaskEnded ended = End(Started());
  EXPECT_EQ(ended.failure().reason(), "EXPORT_STALLED");
  EXPECT_THAT(ended.failure().message(), HasSubstr("it sleeps"));
}

// Either of the two is a sign of life. Seen red: with each comparison taken out.
TEST_F(ExportTest, BytesOrThePercentageAloneKeepItAlive) {
  options_.export_stall_timeout = absl::Milliseconds(600);
  Restart();
  for (const bool bytes : {false, true}) {
    SCOPED_TRACE(bytes);
    std::atomic<int> looks = 0;
    const absl::Duration began = RealClock().Monotonic();
    exporter_.on_status = [&]() -> absl::StatusOr<ExportStatus> {
      if (RealClock().Monotonic() - began > absl::Milliseconds(1800)) return FakeExporter::Done();
      ++looks;
      return FakeExporter::Running(bytes ? 1 : looks.load(), bytes ? looks.load() : 1);
    };
    EXPECT_EQ(End(Started()).outcome(), v1::TaskEnded::DONE);
  }
}

TEST_F(ExportTest, NeverEndingOneIsGivenUpAtTheDeadline) {
  options_.copy_deadline = absl::Milliseconds(300);
  Restart();
  Endless();
  EXPECT_EQ(End(Started()).failure().reason(), "EXPORT_DEADLINE");
}

TEST_F(ExportTest, OneThatTheHypervisorForgotIsLost) {
  Endless();
  const TaskRecord record = Started();
  ASSERT_TRUE(Called("start"));
  exporter_.Forget();
  const v1::TaskEnded ended = End(record);
  EXPECT_EQ(ended.failure().reason(), "EXPORT_LOST");
  EXPECT_TRUE(ended.failure().retryable());
}

TEST_F(ExportTest, IncompleteOneIsNotPublished) {
  worker_.on_seal = [](const std::stop_token&) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "EXPORT_INCOMPLETE", "no vmcx");
  };
  const v1::TaskEnded ended = End(Started());
  EXPECT_EQ(ended.failure().reason(), "EXPORT_INCOMPLETE");
  EXPECT_EQ(ended.failure().phase(), "SEALING");
  EXPECT_THAT(TakeCalls(),
              ElementsAre("probe", "prepare", "start", "end", "seal", "end", "discard"));
}

TEST_F(ExportTest, CancelReachesTheSeal) {
  worker_.on_seal = Hang;
  const TaskRecord record = Started();
  ASSERT_TRUE(Called("seal"));
  EXPECT_THAT(tasks_->Cancel(record.task), IsOkAndHolds(true));
  EXPECT_EQ(End(record).outcome(), v1::TaskEnded::CANCELLED);
}

TEST_F(ExportTest, DrainEndsItAndRecords) {
  Endless();
  const TaskRecord record = Started();
  ASSERT_TRUE(Called("start"));
  tasks_->Drain(absl::Seconds(20));
  EXPECT_EQ(End(record).failure().reason(), "EXECUTOR_STOPPED");
  EXPECT_THAT(exporter_.ended(), ElementsAre(FolderOf(record), FolderOf(record)));
}

// --- restarts

// The next process knows the folder from the journal alone. Seen red: without PutExportFolder().
TEST_F(ExportTest, RestartInTheExportEndsItAndFails) {
  Endless();
  const TaskRecord record = Started();
  ASSERT_TRUE(Called("start"));
  Die();
  const v1::TaskEnded ended = EndAfterRestart(record);
  EXPECT_EQ(ended.failure().reason(), "EXECUTOR_RESTARTED");
  EXPECT_TRUE(ended.failure().retryable());
  EXPECT_TRUE(ended.snapshot_taken());
  EXPECT_FALSE(ended.files_may_remain());
  EXPECT_THAT(TakeCalls(), ElementsAre("end", "end", "discard"));
  EXPECT_THAT(exporter_.ended(), ElementsAre(FolderOf(record), FolderOf(record)));
}

TEST_F(ExportTest, RestartInItsEndGoesOnToTheSeal) {
  options_.merge_deadline = absl::Minutes(5);
  Restart();
  exporter_.on_end = StillWriting;
  const TaskRecord record = Started();
  ASSERT_TRUE(Called("end", 2));
  Die();
  EXPECT_EQ(EndAfterRestart(record).outcome(), v1::TaskEnded::DONE);
  EXPECT_THAT(TakeCalls(), ElementsAre("end", "seal", "publish"));
  EXPECT_EQ(publish_.manifest().consistency(), "APPLICATION");
}

TEST_F(ExportTest, RestartInTheSealSealsAnew) {
  worker_.on_seal = Hang;
  const TaskRecord record = Started();
  ASSERT_TRUE(Called("seal"));
  Die();
  EXPECT_EQ(EndAfterRestart(record).outcome(), v1::TaskEnded::DONE);
  EXPECT_THAT(TakeCalls(), ElementsAre("seal", "publish"));
  EXPECT_THAT(seal_.disks(0).parents(), ElementsAre("system.vhdx"));
}

// Seen red: without PutSealed().
TEST_F(ExportTest, RestartBeforeThePublishDoesNotSealAgain) {
  std::atomic<bool> go = false;
  worker_.on_publish = [&] {
    Eventually([&] { return go.load(); });
    return MakeError(absl::StatusCode::kCancelled, "CANCELLED", "cancelled");
  };
  const TaskRecord record = Started();
  ASSERT_TRUE(Called("publish"));
  const std::string first = publish_.SerializeAsString();
  // The abandon reaches the worker's job in the real one; this one is let go.
  std::jthread let_go([&] {
    RealClock().WaitFor(absl::Milliseconds(200), {});
    go = true;
  });
  Die();
  let_go.join();
  EXPECT_EQ(EndAfterRestart(record).outcome(), v1::TaskEnded::DONE);
  EXPECT_THAT(TakeCalls(), ElementsAre("publish"));
  EXPECT_EQ(publish_.SerializeAsString(), first);
}

// --- an export that cannot be ended

TEST_F(ExportTest, FilesStayWhileSomebodyMayStillWriteThere) {
  Endless();
  exporter_.on_end = StillWriting;
  const TaskRecord record = Started();
  ASSERT_TRUE(Called("start"));
  ASSERT_THAT(tasks_->Cancel(record.task), IsOk());
  const v1::TaskEnded ended = End(record);
  EXPECT_EQ(ended.outcome(), v1::TaskEnded::FAILED);
  EXPECT_EQ(ended.failure().reason(), "EXPORT_NOT_ENDED");
  EXPECT_TRUE(ended.failure().retryable());
  EXPECT_TRUE(ended.files_may_remain());
  EXPECT_FALSE(ended.vm_on_overlay());
  EXPECT_THAT(TakeCalls(), ::testing::Not(::testing::Contains("discard")));
  ASSERT_THAT(journal_->Acknowledge(*journal_->LastSequence()), IsOk());

  // Nor does a scrub remove them, nor a leftovers run, also of the next process.
  Restart();
  exporter_.Forget();
  exporter_.on_end = [] { return absl::InternalError("what is a VM"); };
  const v1::TaskEnded scrub = End(Started(TaskKind::kScrub));
  EXPECT_EQ(scrub.failure().reason(), "EXPORT_NOT_ENDED");
  EXPECT_TRUE(scrub.failure().retryable());
  EXPECT_THAT(TakeCalls(), ElementsAre("end"));

  // Until somebody knows that it is over.
  std::atomic<int> asked = 0;
  exporter_.on_end = [&] { return ++asked < 3 ? StillWriting() : absl::OkStatus(); };
  worker_.repository_id = kFakeRepository;
  {
    RepositoryGuard guard(worker_, {}, RealClock());
    Repositories repositories(*env_, guard, [] {});
    repositories.Run();
    EXPECT_TRUE(Eventually([&] {
      repositories.Refresh();
      return journal_->Leftovers()->empty();
    }));
  }
  Calls calls = TakeCalls();
  std::erase(calls, "probe");
  EXPECT_THAT(calls, ElementsAre("end", "end", "end", "discard"));
}

// One export that goes on does not keep what other tasks left. Seen red: with a run that stops
// there.
TEST_F(ExportTest, LeftoversOfOthersAreRemovedMeanwhile) {
  exporter_.on_end = StillWriting;
  const TaskRecord stuck = Started();
  EXPECT_TRUE(End(stuck).files_may_remain());
  exporter_.on_end = nullptr;
  worker_.on_seal = [](const std::stop_token&) { return absl::UnavailableError("gone"); };
  worker_.on_discard = [] { return absl::UnavailableError("gone"); };
  EXPECT_TRUE(End(Started()).files_may_remain());
  ASSERT_THAT(journal_->Leftovers(), IsOkAndHolds(SizeIs(2)));

  hypervisor_.DelegateTo(exporter_);
  ON_CALL(hypervisor_, EndExport).WillByDefault([&](const ExportPlan& plan) {
    return plan.folder == FolderOf(stuck) ? StillWriting() : absl::OkStatus();
  });
  worker_.on_discard = nullptr;
  worker_.repository_id = kFakeRepository;
  RepositoryGuard guard(worker_, {}, RealClock());
  Repositories repositories(*env_, guard, [] {});
  repositories.Run();
  EXPECT_TRUE(Eventually([&] { return journal_->Leftovers()->size() == 1; }));
  EXPECT_EQ(journal_->Leftovers()->at(0).task, stuck.task);
}

TEST_F(ExportTest, KeeperAndInventoryFindNothingToDo) {
  Endless();
  const TaskRecord record = Started();
  ASSERT_TRUE(Called("start"));
  TakeCalls();
  OverlayKeeper(*env_, *tasks_, [] {}).Look({});
  EXPECT_THAT(journal_->Stranded(), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(TakeCalls(), IsEmpty());
  ASSERT_THAT(tasks_->Cancel(record.task), IsOk());
  End(record);
  OverlayKeeper(*env_, *tasks_, [] {}).Look({});
  EXPECT_THAT(env_->alerts->All(), IsEmpty());
}

}  // namespace
}  // namespace vmkeep::executor
