// A journal that an earlier version left is opened, brought up to date, and gone on with.
#include "common/error.h"
#include "executor/hypervisor/sim/sim_hypervisor.h"
#include "executor/hypervisor/sim/sim_setup.h"
#include "executor/task/journal/journal.h"
#include "executor/task/journal/schema.h"
#include "executor/task/overlay_keeper.h"
#include "executor/task/task_manager.h"
#include "executor/task/worker_job.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/task/fake_worker.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::executor {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;
using vmkeep::test::HasReason;
using vmkeep::test::IsOk;
using vmkeep::test::IsOkAndHolds;
using vmkeep::test::ReadFile;
using vmkeep::test::StatusIs;

constexpr char kRepository[] = "0190a5b0-0000-4000-8000-00000000000e";
constexpr char kRoot[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr int64_t kLastSequence = 50;

// A backup is named after its state; a scrub has no name.
std::string NameOf(const TaskRecord& record) {
  return record.kind == TaskKind::kBackup ? record.backup.name()
                                          : std::string(TaskKindName(record.kind));
}

// A task and how far it is, in a line.
std::string Print(const KnownTask& task) {
  static constexpr const char* kStatus[] = {"-", "begun", "done", "failed"};
  std::string text = absl::StrCat(NameOf(task.record), " ", task.record.task.epoch, ":");
  for (const Step& step : task.state.steps) {
    absl::StrAppend(&text, " ", RuleOf(step.kind).name, step.target.empty() ? "" : ".", step.target,
                    "=", kStatus[static_cast<int>(step.status)]);
  }
  if (task.state.cancelled) absl::StrAppend(&text, " cancelled");
  return absl::StrCat(text, task.state.failure.ok() ? "" : " ", ErrorReason(task.state.failure));
}

std::vector<std::string> Print(const std::vector<KnownTask>& tasks) {
  std::vector<std::string> lines;
  lines.reserve(tasks.size());
  for (const KnownTask& task : tasks) lines.push_back(Print(task));
  return lines;
}

class JournalUpgradeTest : public ::testing::Test {
 protected:
  explicit JournalUpgradeTest(std::string fixture = "v1.sql") : fixture_(std::move(fixture)) {}
  void SetUp() override {
    const std::string sql = absl::StrReplaceAll(
        ReadFile(VMKEEP_FIXTURES "/executor_journal/" + fixture_), {{"@folder@", folder_.path()}});
    ASSERT_FALSE(sql.empty());
    SQLite::Database(path_, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE).exec(sql);
  }
  // As today's executor opens it.
  void Open() {
    auto opened = Journal::Open(folder_.path(), RealClock());
    ASSERT_THAT(opened, IsOk());
    journal_ = *std::move(opened);
  }
  KnownTask Find(const std::string& name) {
    for (const auto& tasks : {journal_->Unfinished(), journal_->Stranded()}) {
      EXPECT_THAT(tasks, IsOk());
      for (const KnownTask& task : *tasks) {
        if (NameOf(task.record) == name) return task;
      }
    }
    ADD_FAILURE() << "no task " << name;
    return {};
  }

  const std::string fixture_;
  vmkeep::test::TempDir folder_;
  const std::string path_ = folder_.path("journal.db");
  std::unique_ptr<Journal> journal_;
};

TEST_F(JournalUpgradeTest, EveryTaskOfTheFirstSchemaIsFoundAsItWas) {
  Open();
  VMKEEP_ASSERT_OK_AND_ASSIGN(const std::vector<KnownTask> unfinished, journal_->Unfinished());
  EXPECT_THAT(Print(unfinished),
              ElementsAre("cancelled 3: preflight=done snapshot=done copy.vda=failed copy.vdb=-"
                          " merge.vda=done merge.vdb=done check=done remove_overlay=done publish=-"
                          " discard=begun cancelled",
                          "publishing 1: preflight=done snapshot=done copy.vda=done copy.vdb=done"
                          " merge.vda=done merge.vdb=done check=done remove_overlay=done"
                          " publish=begun discard=-",
                          "scrub 2: scrub=begun",
                          "copying 1: preflight=done snapshot=done copy.vda=done copy.vdb=begun"
                          " merge.vda=- merge.vdb=- check=- remove_overlay=- publish=- discard=-"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const std::vector<KnownTask> stranded, journal_->Stranded());
  EXPECT_THAT(Print(stranded),
              ElementsAre(AllOf(StartsWith("stranded 2:"), HasSubstr("copy.vdb=done"),
                                HasSubstr("merge.vda=failed"), EndsWith(" MERGE_DEADLINE"))));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const std::vector<TaskRecord> leftovers, journal_->Leftovers());
  ASSERT_THAT(leftovers, SizeIs(1));
  EXPECT_EQ(NameOf(leftovers[0]), "leftover");
  EXPECT_EQ(leftovers[0].repository_id, kRepository);

  std::map<std::string, bool> listed;
  VMKEEP_ASSERT_OK_AND_ASSIGN(const std::vector<TaskSummary> list, journal_->List());
  for (const TaskSummary& task : list) listed[NameOf(task.record)] = task.ended;
  EXPECT_THAT(listed, UnorderedElementsAre(Pair("done", true), Pair("cancelled", false),
                                           Pair("publishing", false), Pair("scrub", false),
                                           Pair("copying", false)));
}

TEST_F(JournalUpgradeTest, WhatMergingAndPublishingNeedIsThere) {
  Open();
  const KnownTask task = Find("copying");
  EXPECT_EQ(task.record.vm_uuid, SimVmUuid("copying"));
  EXPECT_EQ(task.record.backup.labels().at("suite"), "fixture");
  const BackupData& data = task.data;
  EXPECT_EQ(data.vm.power, PowerState::kOn);
  EXPECT_THAT(data.vm.live_xml, HasSubstr(folder_.path("vms")));
  EXPECT_THAT(data.vm.inactive_xml, StartsWith("<domain"));
  EXPECT_THAT(data.restore_xml, StartsWith("<domain"));
  ASSERT_TRUE(data.snapshot.has_value());
  EXPECT_EQ(data.snapshot->consistency, Consistency::kFilesystem);
  ASSERT_THAT(data.vm.disks, SizeIs(2));
  ASSERT_THAT(data.overlays, SizeIs(2));
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_THAT(data.vm.disks[i].source, EndsWith(i == 0 ? "/vda.raw" : "/vdb.raw"));
    EXPECT_EQ(data.overlays[i].overlay, OverlayPath(data.vm.disks[i].source, task.record.task.id));
    // What is new begins as it was before there was such a thing.
    EXPECT_FALSE(data.vm.disks[i].flat());
    EXPECT_FALSE(data.vm.disks[i].block_device);
  }
  ASSERT_THAT(data.copies, SizeIs(1));
  EXPECT_EQ(data.copies.at("vda").digest().root(), kRoot);
}

TEST_F(JournalUpgradeTest, TheControllerIsToldAndFencedAsBefore) {
  Open();
  EXPECT_EQ(journal_->executor_id(), "2a6315fa-c97a-4434-a487-bf4d1eab66b5");
  VMKEEP_ASSERT_OK_AND_ASSIGN(const std::vector<v1::Event> events, journal_->EventsAfter(0, 1000));
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.front().sequence(), 24);
  EXPECT_EQ(events.back().sequence(), kLastSequence);
  EXPECT_THAT(journal_->LastSequence(), IsOkAndHolds(events.back().sequence()));
  std::vector<std::string> ends;
  for (const v1::Event& event : events) {
    if (event.has_ended()) ends.push_back(v1::TaskEnded::Outcome_Name(event.ended().outcome()));
  }
  EXPECT_THAT(ends, ElementsAre("DONE"));

  const std::string forgotten = "01a2169e-ad87-7168-96a2-05f26f4d67ff";
  EXPECT_THAT(journal_->Known({"01a2169e-ad87-74c3-833b-b00de62efd26", 7}, forgotten),
              IsOkAndHolds(true));
  EXPECT_THAT(journal_->Known({"01990000-0000-7000-8000-000000000001", 7}, forgotten),
              HasReason("STALE_EPOCH"));
  EXPECT_THAT(journal_->Known({"01990000-0000-7000-8000-000000000001", 8}, forgotten),
              IsOkAndHolds(false));
  EXPECT_THAT(journal_->Known({"01990000-0000-7000-8000-000000000009", 4}, "another"),
              HasReason("STALE_EPOCH"))
      << "cancelled before it came";
}

TEST_F(JournalUpgradeTest, ItIsBroughtUpToDateOnce) {
  for (int open = 0; open < 2; ++open) {
    Open();
    journal_ = nullptr;
  }
  SQLite::Database db(path_, SQLite::OPEN_READONLY);
  EXPECT_EQ(db.execAndGet("PRAGMA user_version").getInt(),
            static_cast<int>(JournalMigrations().size()));
}

TEST_F(JournalUpgradeTest, AJournalOfTheFutureIsRefusedInWordsAndLeftUntouched) {
  Open();
  journal_ = nullptr;
  const int future = static_cast<int>(JournalMigrations().size()) + 1;
  SQLite::Database(path_, SQLite::OPEN_READWRITE)
      .exec(absl::StrCat("CREATE TABLE what_is_this(x); PRAGMA user_version=", future));
  std::filesystem::remove(folder_.path("reserve"));
  const std::string before = ReadFile(path_);
  EXPECT_THAT(
      Journal::Open(folder_.path(), RealClock()),
      AllOf(StatusIs(absl::StatusCode::kFailedPrecondition,
                     AllOf(HasSubstr(path_), HasSubstr(absl::StrCat("schema version ", future)),
                           HasSubstr("start the version of vmkeep that wrote it"))),
            HasReason("DATABASE_NEWER")));
  EXPECT_TRUE(ReadFile(path_) == before) << "not a byte is changed";
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    files.insert(entry.path().filename());
  }
  EXPECT_THAT(files, ElementsAre("journal.db")) << "nothing is left beside it";
}

// The simulated host as the executor of that day left it.
class JournalRecoveryTest : public JournalUpgradeTest {
 protected:
  JournalRecoveryTest() = default;
  JournalRecoveryTest(const std::string& fixture, std::vector<std::string> vms,
                      std::vector<std::string> on_overlays)
      : JournalUpgradeTest(fixture), vms_(std::move(vms)), on_overlays_(std::move(on_overlays)) {}
  void SetUp() override {
    JournalUpgradeTest::SetUp();
    Open();
    std::filesystem::create_directory(folder_.path("vms"));
    for (const std::string& name : vms_) {
      ASSERT_THAT(CreateSimVm(folder_.path("vms"), {name, 2, 1 << 20}), IsOk());
    }
    for (const std::string& name : on_overlays_) {
      const KnownTask task = Find(name);
      const SnapshotPlan plan{.vm_uuid = task.record.vm_uuid,
                              .disks = task.data.overlays,
                              .untouched = {},
                              .quiesce = QuiescePolicy::kNever};
      ASSERT_THAT(sim_.Snapshot(plan), IsOk());
    }
  }
  // What an executor of today does when it starts on that journal.
  void Recover() {
    VMKEEP_ASSERT_OK_AND_ASSIGN(last_sequence_, journal_->LastSequence());
    VMKEEP_ASSERT_OK_AND_ASSIGN(const std::vector<KnownTask> unfinished, journal_->Unfinished());
    for (const KnownTask& task : unfinished) {
      names_[task.record.task.id] = task.record.backup.name();
    }
    TaskOptions options;
    options.repositories = {{1, "/not/touched/here"}};
    env_.emplace(Environment{sim_, worker_, *journal_, RealClock(), options});
    events_ = std::make_unique<EventLog>(*journal_, RealClock());
    tasks_ = std::make_unique<TaskManager>(*env_, *events_, [] {});
    EndLeftoverWorkers(*journal_);
    ASSERT_THAT(tasks_->Recover(), IsOk());
  }
  // What is on an overlay, by VM.
  std::set<std::string> OnOverlays() {
    std::set<std::string> names;
    const absl::StatusOr<std::vector<VmSummary>> vms = sim_.ListVms();
    EXPECT_THAT(vms, IsOk());
    for (const VmSummary& vm : *vms) {
      if (!vm.overlays.empty()) names.insert(vm.name);
    }
    return names;
  }
  int OverlayFiles() {
    int count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path("vms"))) {
      count += absl::StrContains(entry.path().string(), kOverlayMark) ? 1 : 0;
    }
    return count;
  }
  // The ends of backups by name, once no task is unfinished; a scrub's under "".
  std::map<std::string, v1::TaskEnded> Ends() {
    for (int i = 0; i < 2000 && !journal_->Unfinished()->empty(); ++i) {
      RealClock().WaitFor(absl::Milliseconds(10), {});
    }
    EXPECT_THAT(journal_->Unfinished(), IsOkAndHolds(IsEmpty()));
    std::map<std::string, v1::TaskEnded> ends;
    const absl::StatusOr<std::vector<v1::Event>> events =
        journal_->EventsAfter(last_sequence_, 1000);
    EXPECT_THAT(events, IsOk());
    for (const v1::Event& event : *events) {
      if (event.has_ended()) ends[names_[event.task().task_id()]] = event.ended();
    }
    return ends;
  }

  const std::vector<std::string> vms_ = {"copying", "publishing", "cancelled", "stranded"};
  const std::vector<std::string> on_overlays_ = {"copying", "stranded"};
  int64_t last_sequence_ = 0;  // before Recover()
  SimHypervisor sim_{folder_.path("vms")};
  std::map<std::string, std::string> names_;  // by task
  test::FakeWorker worker_;
  std::optional<Environment> env_;
  std::unique_ptr<EventLog> events_;
  std::unique_ptr<TaskManager> tasks_;  // last: it uses the rest
};

TEST_F(JournalRecoveryTest, UnfinishedTasksAreGoneOnWith) {
  worker::v1::Publish published;
  worker_.on_request = [&](const worker::v1::Request& request) {
    if (request.has_publish()) published = request.publish();
  };
  ASSERT_NO_FATAL_FAILURE(Recover());

  std::map<std::string, v1::TaskEnded> ends = Ends();
  EXPECT_EQ(ends["copying"].outcome(), v1::TaskEnded::FAILED);
  EXPECT_EQ(ends["copying"].failure().reason(), "EXECUTOR_RESTARTED");
  EXPECT_FALSE(ends["copying"].vm_on_overlay());
  EXPECT_EQ(ends["publishing"].outcome(), v1::TaskEnded::DONE);
  EXPECT_EQ(ends["publishing"].backup().virtual_bytes(), 2 << 20);
  EXPECT_EQ(ends["cancelled"].outcome(), v1::TaskEnded::CANCELLED);
  EXPECT_EQ(ends[""].outcome(), v1::TaskEnded::DONE) << "the scrub";
  EXPECT_THAT(worker_.jobs(), UnorderedElementsAre("discard", "discard", "publish", "scrub"));
  EXPECT_EQ(published.manifest().name(), "publishing");
  ASSERT_EQ(published.manifest().disks_size(), 2);
  for (const auto& disk : published.manifest().disks()) EXPECT_EQ(disk.digest().root(), kRoot);
  EXPECT_THAT(journal_->Workers(), IsOkAndHolds(IsEmpty())) << "it ended with that executor";

  EXPECT_THAT(OnOverlays(), ElementsAre("stranded"));
  OverlayKeeper keeper(*env_, *tasks_, [] {});
  keeper.Look({});
  EXPECT_THAT(OnOverlays(), IsEmpty());
  EXPECT_EQ(OverlayFiles(), 0);
  EXPECT_THAT(journal_->Stranded(), IsOkAndHolds(IsEmpty()));
}

// Of schema 2: what a copy was begun on is not in it.
class SecondSchemaTest : public JournalRecoveryTest {
 protected:
  SecondSchemaTest()
      : JournalRecoveryTest("v2.sql", {"copying", "merging", "publishing", "snapshotting"},
                            {"copying", "merging"}) {}
};

TEST_F(SecondSchemaTest, EveryTaskIsFoundAsItWas) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const std::vector<KnownTask> unfinished, journal_->Unfinished());
  EXPECT_THAT(
      Print(unfinished),
      ElementsAre("publishing 1: preflight=done snapshot=done copy.vda=done copy.vdb=done"
                  " merge.vda=done merge.vdb=done check=done remove_overlay=done publish=begun"
                  " discard=-",
                  "merging 2: preflight=done snapshot=done copy.vda=done copy.vdb=done"
                  " merge.vda=begun merge.vdb=- check=- remove_overlay=- publish=- discard=-",
                  "copying 1: preflight=done snapshot=done copy.vda=done copy.vdb=begun"
                  " merge.vda=- merge.vdb=- check=- remove_overlay=- publish=- discard=-",
                  "snapshotting 3: preflight=done snapshot=begun copy.vda=- copy.vdb=-"
                  " merge.vda=- merge.vdb=- check=- remove_overlay=- publish=- discard=-"));
  EXPECT_THAT(Find("copying").data.copies_begun, IsEmpty());
  const std::vector<Disk> disks = Find("snapshotting").data.vm.disks;
  ASSERT_THAT(disks, SizeIs(2));
  EXPECT_THAT(disks[0].data_file, EndsWith("/vms/data"));
  ASSERT_THAT(disks[0].backing, SizeIs(2));
  EXPECT_THAT(disks[0].backing[0].data_file, EndsWith("/vms/middle.data"));
  EXPECT_EQ(disks[0].backing[1].format, "raw");
  EXPECT_TRUE(disks[1].block_device);
}

// The copy is merged and failed, since nobody knows what it was begun on; the rest by today's
// rules.
TEST_F(SecondSchemaTest, UnfinishedTasksAreGoneOnWith) {
  ASSERT_NO_FATAL_FAILURE(Recover());
  std::map<std::string, v1::TaskEnded> ends = Ends();
  EXPECT_EQ(ends["copying"].failure().reason(), "EXECUTOR_RESTARTED");
  EXPECT_THAT(ends["copying"].failure().message(), HasSubstr("not known"));
  EXPECT_EQ(ends["merging"].outcome(), v1::TaskEnded::DONE);
  EXPECT_EQ(ends["publishing"].outcome(), v1::TaskEnded::DONE);
  EXPECT_EQ(ends["snapshotting"].failure().reason(), "EXECUTOR_RESTARTED");
  EXPECT_THAT(worker_.jobs(), UnorderedElementsAre("publish", "publish", "discard"));
  EXPECT_THAT(OnOverlays(), IsEmpty());
  EXPECT_EQ(OverlayFiles(), 0);
}

// Of schema 3: it knows no exports.
class ThirdSchemaTest : public JournalRecoveryTest {
 protected:
  ThirdSchemaTest()
      : JournalRecoveryTest("v3.sql", {"copying", "merging", "publishing"},
                            {"copying", "merging"}) {}
};

TEST_F(ThirdSchemaTest, EveryTaskIsFoundAsItWas) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const std::vector<KnownTask> unfinished, journal_->Unfinished());
  EXPECT_THAT(
      Print(unfinished),
      ElementsAre("publishing 3: preflight=done snapshot=done copy.vda=done copy.vdb=done"
                  " merge.vda=done merge.vdb=done check=done remove_overlay=done publish=begun"
                  " discard=-",
                  "merging 4: preflight=done snapshot=done copy.vda=done copy.vdb=done"
                  " merge.vda=begun merge.vdb=- check=- remove_overlay=- publish=- discard=-",
                  "copying 5: preflight=done snapshot=done copy.vda=done copy.vdb=begun"
                  " merge.vda=- merge.vdb=- check=- remove_overlay=- publish=- discard=-"));
  for (const KnownTask& task : unfinished) {
    EXPECT_THAT(task.data.overlays, SizeIs(2));
    EXPECT_EQ(task.data.export_folder, "");
    EXPECT_FALSE(task.data.sealed.has_value());
  }
  const CopyBegin begun = Find("copying").data.copies_begun.at("vdb");
  EXPECT_EQ(begun.boot_id, "the boot of that day");
  EXPECT_THAT(begun.base, StartsWith("file "));
}

TEST_F(ThirdSchemaTest, UnfinishedTasksAreGoneOnWith) {
  ASSERT_NO_FATAL_FAILURE(Recover());
  std::map<std::string, v1::TaskEnded> ends = Ends();
  EXPECT_EQ(ends["copying"].failure().reason(), "EXECUTOR_RESTARTED");
  EXPECT_THAT(ends["copying"].failure().message(), HasSubstr("booted"));
  EXPECT_EQ(ends["merging"].outcome(), v1::TaskEnded::DONE);
  EXPECT_EQ(ends["publishing"].outcome(), v1::TaskEnded::DONE);
  EXPECT_THAT(OnOverlays(), IsEmpty());

  // What an export would have left is not asked about, and the files go.
  VMKEEP_ASSERT_OK_AND_ASSIGN(const std::vector<TaskRecord> leftovers, journal_->Leftovers());
  ASSERT_THAT(leftovers, SizeIs(1));
  EXPECT_EQ(NameOf(leftovers[0]), "leftover");
  EXPECT_THAT(DiscardTry(*env_, leftovers[0], {}), IsOk());
  EXPECT_THAT(worker_.jobs(), UnorderedElementsAre("publish", "publish", "discard", "discard"));
}

}  // namespace
}  // namespace vmkeep::executor
