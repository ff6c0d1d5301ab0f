#include "executor/task/journal/journal.h"

#include "common/error.h"
#include "common/fault_point/fault_point.h"
#include "common/host/state_folder.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/utf8.h"
#include "common/uuid.h"
#include "executor/task/errors.h"
#include "executor/task/journal/journal_internal.h"
#include "executor/task/journal/schema.h"

#include "absl/memory/memory.h"
#include "absl/strings/numbers.h"
#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <utility>

namespace vmkeep::executor {

using journal::Blob;
using journal::Query;
using journal::Run;

namespace {

// The text of StepStatus in the table step; "intent" is on the disk before the side effect.
constexpr std::array<absl::string_view, 4> kStatusNames = {"pending", "intent", "done", "failed"};

Blob ToBlob(const absl::Status& status) {
  if (status.ok()) return {};
  worker::v1::Error error;
  error.set_code(static_cast<int>(status.code()));
  error.set_reason(ErrorReason(status));
  error.set_message(ToUtf8(status.message()));
  for (const auto& [key, value] : ErrorDetails(status)) (*error.mutable_metadata())[key] = value;
  return {error.SerializeAsString()};
}

absl::Status FromBlob(const std::string& bytes) {
  worker::v1::Error error;
  if (bytes.empty() || !error.ParseFromString(bytes)) return absl::OkStatus();
  return MakeError(static_cast<absl::StatusCode>(error.code()), error.reason(), error.message(),
                   {error.metadata().begin(), error.metadata().end()});
}

Blob SpecOf(const TaskRecord& record) {
  if (record.kind == TaskKind::kBackup) return {record.backup.SerializeAsString()};
  v1::ScrubSpec spec;
  spec.set_backup_id(record.backup_id);
  spec.set_vm_uuid(record.vm_uuid);
  spec.set_repository(record.slot);
  spec.set_repository_id(record.repository_id);
  return {spec.SerializeAsString()};
}

template <typename Spec>
void TakeSpec(const Spec& spec, TaskRecord& record) {
  record.backup_id = spec.backup_id();
  record.vm_uuid = spec.vm_uuid();
  record.slot = spec.repository();
  record.repository_id = spec.repository_id();
}

// Whether the task is here; STALE_EPOCH when it is fenced off.
absl::StatusOr<bool> LookUp(SQLite::Database& db, const TaskId& task,
                            const std::string& backup_id) {
  if (Query(db, "SELECT 1 FROM task WHERE task_id=? AND epoch=?", task).executeStep()) return true;
  SQLite::Statement highest =
      Query(db, "SELECT epoch, task_id FROM backup_epoch WHERE backup_id=?", backup_id);
  if (highest.executeStep()) {
    const int64_t seen = highest.getColumn(0).getInt64();
    // Acknowledged and forgotten: a late duplicate must not run again.
    if (seen == task.epoch && highest.getColumn(1).getString() == task.id) return true;
    if (task.epoch <= seen) return error::StaleEpoch(task.ToString(), seen);
  }
  SQLite::Statement refused =
      Query(db, "SELECT epoch FROM refused WHERE task_id=? AND epoch>=?", task);
  if (refused.executeStep())
    return error::StaleEpoch(task.ToString(), refused.getColumn(0).getInt64());
  return false;
}

void PutState(SQLite::Database& db, const TaskId& task, const TaskState& state, absl::Time now) {
  Run(db, "UPDATE task SET cancelled=?3, failure=?4, failed_in=?5 WHERE task_id=?1 AND epoch=?2",
      task, int64_t{state.cancelled}, ToBlob(state.failure),
      state.failed_in ? RuleOf(*state.failed_in).name : "");
  for (size_t i = 0; i < state.steps.size(); ++i) {
    const Step& step = state.steps[i];
    Run(db,
        "INSERT INTO step(task_id, epoch, ord, name, target, status, at) VALUES(?1, ?2, ?3, ?4, "
        "?5, ?6, ?7)"
        " ON CONFLICT DO UPDATE SET name=?4, target=?5, status=?6, at=?7 WHERE name<>?4 OR "
        "target<>?5 OR status<>?6",
        task, static_cast<int64_t>(i), RuleOf(step.kind).name, step.target,
        kStatusNames[static_cast<size_t>(step.status)], journal::ToNanos(now));
  }
  Run(db, "DELETE FROM step WHERE task_id=? AND epoch=? AND ord>=?", task,
      static_cast<int64_t>(state.steps.size()));
}

// The columns that ReadRecord() and ReadState() take.
constexpr char kTaskColumns[] =
    "task_id, epoch, kind, spec, accepted_at, cancelled, failure, failed_in, ended_at";

TaskRecord ReadRecord(SQLite::Statement& row) {
  TaskRecord record;
  record.task = {row.getColumn(0).getString(), row.getColumn(1).getInt64()};
  record.kind = TaskKindNamed(row.getColumn(2).getString()).value_or(TaskKind::kBackup);
  record.accept_time = absl::FromUnixNanos(row.getColumn(4).getInt64());
  const std::string spec = row.getColumn(3).getString();
  v1::ScrubSpec scrub;
  if (record.kind == TaskKind::kScrub) {
    if (scrub.ParseFromString(spec)) TakeSpec(scrub, record);
  } else if (record.backup.ParseFromString(spec)) {
    TakeSpec(record.backup, record);
  }
  return record;
}

TaskState ReadState(SQLite::Database& db, SQLite::Statement& row, const TaskRecord& record) {
  TaskState state;
  state.kind = record.kind;
  state.cancelled = row.getColumn(5).getInt() != 0;
  state.failure = FromBlob(row.getColumn(6).getString());
  state.failed_in = StepKindNamed(row.getColumn(7).getString());
  state.ended = !row.getColumn(8).isNull();
  SQLite::Statement steps =
      Query(db, "SELECT name, target, status FROM step WHERE task_id=? AND epoch=? ORDER BY ord",
            record.task);
  while (steps.executeStep()) {
    Step step;
    step.kind = StepKindNamed(steps.getColumn(0).getString()).value_or(StepKind::kPreflight);
    step.target = steps.getColumn(1).getString();
    for (size_t i = 0; i < kStatusNames.size(); ++i) {
      if (steps.getColumn(2).getString() == kStatusNames[i])
        step.status = static_cast<StepStatus>(i);
    }
    state.steps.push_back(std::move(step));
  }
  return state;
}

bool OverlayFileLeft(const TaskState& state) {
  return std::any_of(state.steps.begin(), state.steps.end(), [](const Step& step) {
    return step.kind == StepKind::kRemoveOverlay && step.status == StepStatus::kFailed;
  });
}

}  // namespace

std::vector<KnownTask> journal::ReadTasks(SQLite::Database& db, absl::string_view where,
                                          const std::string& argument) {
  std::vector<KnownTask> tasks;
  SQLite::Statement row(db, absl::StrCat("SELECT ", kTaskColumns, " FROM task WHERE ", where,
                                         " ORDER BY accepted_at, epoch"));
  if (!argument.empty()) row.bind(1, argument);
  while (row.executeStep()) {
    KnownTask task;
    task.record = ReadRecord(row);
    task.state = ReadState(db, row, task.record);
    task.data = ReadData(db, task.record);
    tasks.push_back(std::move(task));
  }
  return tasks;
}

absl::StatusOr<std::unique_ptr<Journal>> Journal::Open(const std::string& folder, Clock& clock) {
  const std::string path = folder + "/journal.db";
  // SQLite gives its -wal and -shm the mode of the file that is there.
  VMKEEP_RETURN_IF_ERROR(host::MakePrivateFile(path));
  VMKEEP_ASSIGN_OR_RETURN(auto db, sqlite::Open(path, JournalMigrations()));
  // Domain XML with secrets does not stay in the file when its row is gone.
  VMKEEP_RETURN_IF_ERROR(sqlite::Guard("configure the journal", [&db]() -> absl::Status {
    db->exec("PRAGMA secure_delete=ON");
    return absl::OkStatus();
  }));
  auto journal = absl::WrapUnique(new Journal(std::move(db), folder, clock));
  VMKEEP_RETURN_IF_ERROR(journal->ReadOrMakeExecutorId());
  return journal;
}

Journal::Journal(std::unique_ptr<SQLite::Database> db, const std::string& folder, Clock& clock)
    : clock_(clock), db_(std::move(db)), reserve_(folder + "/reserve") {
  reserve_.Fill();
}

absl::Status Journal::ReadOrMakeExecutorId() {
  return Write("executor id", [this](SQLite::Database& db) {
    Run(db, "INSERT OR IGNORE INTO meta VALUES('executor_id', ?)", NewUuid4());
    executor_id_ = db.execAndGet("SELECT value FROM meta WHERE name='executor_id'").getString();
    return absl::OkStatus();
  });
}

absl::Status Journal::Write(absl::string_view what,
                            const std::function<absl::Status(SQLite::Database&)>& body) {
  const absl::Duration began = clock_.Monotonic();
  absl::Status status = WriteUnmetered(what, body);
  if (write_meter_) write_meter_(status.ok(), clock_.Monotonic() - began);
  return status;
}

absl::Status Journal::WriteUnmetered(absl::string_view what,
                                     const std::function<absl::Status(SQLite::Database&)>& body) {
  VMKEEP_RETURN_IF_ERROR(FaultPoint("journal.write.before", what));
  MutexLock lock(&mu_);
  SQLite::Database& db = *db_;
  const auto attempt = [&]() -> absl::Status {
    return sqlite::Guard(what, [&]() -> absl::Status {
      SQLite::Transaction transaction(db);
      VMKEEP_RETURN_IF_ERROR(body(db));
      transaction.commit();
      return absl::OkStatus();
    });
  };
  absl::Status status = attempt();
  if (!status.ok() && ErrorDetails(status)["sqlite_code"] == absl::StrCat(SQLITE_FULL) &&
      reserve_.Release()) {
    log::Error("journal_reserve_given_up", {{"what", what}, {"remedy", "make room on its disk"}});
    status = attempt();
  }
  // SQLite reports no error of a commit that counts, so this one cannot fail.
  if (status.ok()) CrashPoint("journal.write.after", what);
  return status;
}

absl::StatusOr<bool> Journal::Known(const TaskId& task, const std::string& backup_id) {
  return Read("look up a task", [&](SQLite::Database& db) { return LookUp(db, task, backup_id); });
}

absl::StatusOr<bool> Journal::Accept(const TaskRecord& record, const TaskState& state) {
  bool known = false;
  VMKEEP_RETURN_IF_ERROR(Write("accept a task", [&](SQLite::Database& db) -> absl::Status {
    VMKEEP_ASSIGN_OR_RETURN(known, LookUp(db, record.task, record.backup_id));
    if (known) return absl::OkStatus();
    Run(db,
        "INSERT INTO backup_epoch(backup_id, epoch, task_id) VALUES(?1, ?2, ?3)"
        " ON CONFLICT DO UPDATE SET epoch=?2, task_id=?3",
        record.backup_id, record.task.epoch, record.task.id);
    Run(db,
        "INSERT INTO task(task_id, epoch, backup_id, vm_uuid, kind, spec, accepted_at) VALUES(?, "
        "?, ?, ?, ?, ?, ?)",
        record.task, record.backup_id, record.vm_uuid, TaskKindName(record.kind), SpecOf(record),
        journal::ToNanos(record.accept_time));
    PutState(db, record.task, state, record.accept_time);
    return absl::OkStatus();
  }));
  return known;
}

absl::StatusOr<bool> Journal::RefuseUnlessUnfinished(const TaskId& task) {
  bool unfinished = false;
  VMKEEP_RETURN_IF_ERROR(Write("refuse a task", [&](SQLite::Database& db) {
    unfinished =
        Query(db, "SELECT 1 FROM task WHERE task_id=? AND epoch=? AND ended_at IS NULL", task)
            .executeStep();
    if (unfinished) return absl::OkStatus();
    Run(db,
        "INSERT INTO refused(task_id, epoch, at) VALUES(?1, ?2, ?3)"
        " ON CONFLICT DO UPDATE SET epoch=max(epoch, ?2), at=?3",
        task, journal::ToNanos(clock_.Now()));
    // A start that is a month late comes from no controller that lives.
    Run(db, "DELETE FROM refused WHERE at<?",
        journal::ToNanos(clock_.Now() - absl::Hours(24 * 30)));
    return absl::OkStatus();
  }));
  return unfinished;
}

absl::Status Journal::Save(const TaskId& task, const TaskState& state,
                           const std::vector<v1::Event>& events) {
  return Write("save a task", [&](SQLite::Database& db) {
    PutState(db, task, state, clock_.Now());
    journal::AddEvents(db, events);
    return absl::OkStatus();
  });
}

absl::Status Journal::End(const TaskId& task, const TaskState& state, const Ending& ending,
                          const std::vector<v1::Event>& events) {
  return Write("end a task", [&](SQLite::Database& db) {
    const absl::Time now = clock_.Now();
    PutState(db, task, state, now);
    const int64_t sequence = journal::AddEvents(db, events);
    Run(db,
        "UPDATE task SET ended_at=?3, end_sequence=?4, on_overlay=?5, files_remain=?6 WHERE "
        "task_id=?1 AND epoch=?2",
        task, journal::ToNanos(now), sequence,
        int64_t{ending.vm_on_overlay || OverlayFileLeft(state)}, int64_t{ending.files_may_remain});
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<KnownTask>> Journal::Unfinished() {
  return Read("read unfinished tasks",
              [](SQLite::Database& db) -> absl::StatusOr<std::vector<KnownTask>> {
                return journal::ReadTasks(db, "ended_at IS NULL");
              });
}

absl::StatusOr<std::vector<TaskSummary>> Journal::List() {
  return Read("list tasks", [](SQLite::Database& db) -> absl::StatusOr<std::vector<TaskSummary>> {
    std::vector<TaskSummary> tasks;
    for (KnownTask& task : journal::ReadTasks(db, "acknowledged=0")) {
      const int step = task.state.running();
      tasks.push_back({std::move(task.record),
                       step < 0 ? "" : std::string(RuleOf(task.state.steps[step].kind).name),
                       task.state.ended});
    }
    return tasks;
  });
}

}  // namespace vmkeep::executor
