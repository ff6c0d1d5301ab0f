#ifndef VMKEEP_TESTS_UNIT_TASK_TASK_MANAGER_FIXTURE_H_
#define VMKEEP_TESTS_UNIT_TASK_TASK_MANAGER_FIXTURE_H_

#include "common/error.h"
#include "common/uuid.h"
#include "executor/hypervisor/sim/sim_hypervisor.h"
#include "executor/hypervisor/sim/sim_setup.h"
#include "executor/task/task_manager.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/task/fake_worker.h"
#include "tests/unit/task/scripted_hypervisor.h"

#include "absl/strings/match.h"
#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::executor {

// Tasks on the simulated hypervisor, with a worker that does what the test says. The clock is the
// machine's.
class TaskManagerTest : public ::testing::Test {
 protected:
  explicit TaskManagerTest(int disks = 2) : sim_(folder_.path("vms")) {
    std::filesystem::create_directory(folder_.path("vms"));
    std::filesystem::create_directory(folder_.path("state"));
    EXPECT_TRUE(CreateSimVm(folder_.path("vms"), {"web-1", disks, 1 << 20}).ok());
    hypervisor_.DelegateTo(sim_);
    options_.repositories = {{1, "/not/touched/here"}};
    options_.overlay_reserve_bytes = 1 << 20;
    options_.merge_deadline = absl::Seconds(1);
    Restart();
  }

  // As after a crash: what is in memory is gone.
  void Restart() {
    tasks_ = nullptr;
    events_ = nullptr;
    journal_ = nullptr;
    auto opened = Journal::Open(folder_.path("state"), RealClock());
    ASSERT_TRUE(opened.ok()) << opened.status();
    journal_ = *std::move(opened);
    env_ = std::make_unique<Environment>(Environment{
        hypervisor_, worker_, *journal_, RealClock(), options_,
        [this](const std::string&) { return absl::StatusOr<int64_t>(free_.load()); }, boot_id_});
    events_ = std::make_unique<EventLog>(*journal_, RealClock());
    tasks_ = std::make_unique<TaskManager>(*env_, *events_, [] {});
  }

  TaskRecord NewRecord(TaskKind kind = TaskKind::kBackup) {
    TaskRecord record;
    record.task = {NewUuid7(RealClock().Now()), ++epoch_};
    record.kind = kind;
    record.backup_id = backup_id_;
    record.vm_uuid = SimVmUuid("web-1");
    record.slot = 1;
    record.repository_id = kFakeRepository;
    record.backup.set_backup_id(record.backup_id);
    record.backup.set_vm_uuid(record.vm_uuid);
    record.backup.set_repository(1);
    record.backup.set_repository_id(record.repository_id);
    record.accept_time = RealClock().Now();
    return record;
  }
  TaskRecord Started(TaskKind kind = TaskKind::kBackup) {
    TaskRecord record = NewRecord(kind);
    EXPECT_THAT(tasks_->Start(record), ::vmkeep::test::IsOkAndHolds(false));
    return record;
  }
  v1::TaskEnded End(const TaskRecord& record) {
    v1::TaskEnded ended;
    EXPECT_TRUE(Eventually([&] {
      const auto events = journal_->EventsAfter(0, 1000);
      if (!events.ok()) return false;
      for (const v1::Event& event : *events) {
        if (event.has_ended() && event.task().task_id() == record.task.id) ended = event.ended();
      }
      return ended.outcome() != v1::TaskEnded::OUTCOME_UNSPECIFIED;
    }));
    return ended;
  }
  static bool Eventually(const std::function<bool()>& holds) {
    for (int i = 0; i < 2000 && !holds(); ++i) RealClock().WaitFor(absl::Milliseconds(10), {});
    return holds();
  }
  // A job that takes until it is asked to stop.
  static absl::Status Hang(const std::stop_token& stop) {
    Eventually([&] { return stop.stop_requested(); });
    return MakeError(absl::StatusCode::kCancelled, "CANCELLED", "cancelled");
  }
  std::string DiskPath(const std::string& target) {
    return folder_.path("vms/" + SimVmUuid("web-1") + "/" + target + ".raw");
  }
  std::vector<OverlayDisk> Overlays() { return sim_.ListVms()->front().overlays; }
  int OverlayFiles() {
    int count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path("vms"))) {
      count += absl::StrContains(entry.path().string(), ".vmkeep-") ? 1 : 0;
    }
    return count;
  }
  void RemoveOverlayFiles() {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path("vms"))) {
      if (absl::StrContains(entry.path().string(), ".vmkeep-")) files.push_back(entry);
    }
    for (const auto& file : files) std::filesystem::remove(file);
  }
  // Makes every write of a step to the journal fail, or heals it; through a connection of its own.
  void BreakJournal(bool broken) {
    SQLite::Database db(folder_.path("state/journal.db"), SQLite::OPEN_READWRITE);
    db.setBusyTimeout(5000);
    db.exec(broken ? "CREATE TRIGGER broken BEFORE INSERT ON step BEGIN SELECT RAISE(FAIL, "
                     "'the disk is ill'); END"
                   : "DROP TRIGGER broken");
  }

  const std::string backup_id_ = NewUuid7(RealClock().Now());
  int64_t epoch_ = 0;
  ::vmkeep::test::TempDir folder_;
  SimHypervisor sim_;
  ::testing::NiceMock<test::BreakableHypervisor> hypervisor_;
  test::FakeWorker worker_;
  std::atomic<int64_t> free_ = int64_t{1} << 40;
  TaskOptions options_;
  std::string boot_id_ = "this boot";
  static constexpr char kFakeRepository[] = "0190a5b0-0000-4000-8000-00000000000e";
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Environment> env_;
  std::unique_ptr<EventLog> events_;
  std::unique_ptr<TaskManager> tasks_;
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_TESTS_UNIT_TASK_TASK_MANAGER_FIXTURE_H_
