#ifndef VMKEEP_EXECUTOR_TASK_JOURNAL_JOURNAL_H_
#define VMKEEP_EXECUTOR_TASK_JOURNAL_JOURNAL_H_

#include "common/clock.h"
#include "common/mutex.h"
#include "common/sqlite/database.h"
#include "executor/task/journal/records.h"
#include "executor/task/journal/reserve_file.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::executor {

// The executor's memory: which tasks were accepted, which step of each was begun, what merging and
// publishing need, and the events that the controller has not acknowledged. Every change is on the
// disk when its call returns.
//
// Holds domain XML with secrets: the file's mode is 0600. Thread-safe; each call may wait for the
// disk, and calls follow one another. Errors: UNAVAILABLE or INTERNAL with reason DATABASE_ERROR
// (nothing was changed).
class Journal {
 public:
  // Opens or makes `folder`/journal.db; `folder` exists. FAILED_PRECONDITION, DATABASE_NEWER.
  static absl::StatusOr<std::unique_ptr<Journal>> Open(const std::string& folder, Clock& clock);

  // Made at the first start, the same for ever.
  const std::string& executor_id() const { return executor_id_; }

  // Called after each write, in the thread that wrote, with whether it came about and how long it
  // took, the wait for other writes included. Set once, before use; must not block.
  using WriteMeter = std::function<void(bool ok, absl::Duration took)>;
  void SetWriteMeter(WriteMeter meter) { write_meter_ = std::move(meter); }

  // --- tasks (journal.cc)

  // True when the task was accepted before. FAILED_PRECONDITION, STALE_EPOCH, when it never will
  // be.
  absl::StatusOr<bool> Known(const TaskId& task, const std::string& backup_id);
  // Accepts a task with its first state. True when it was accepted before: nothing changed then.
  // STALE_EPOCH.
  absl::StatusOr<bool> Accept(const TaskRecord& record, const TaskState& state);
  // Whether the task is here and has not ended. When it is not here: no task of this id with this
  // or a lower epoch will be accepted from now on.
  absl::StatusOr<bool> RefuseUnlessUnfinished(const TaskId& task);
  // Puts a state down, and `events` that follow from it, in one transaction.
  absl::Status Save(const TaskId& task, const TaskState& state,
                    const std::vector<v1::Event>& events);
  // The same for the last state; `events` ends with the TaskEnded.
  absl::Status End(const TaskId& task, const TaskState& state, const Ending& ending,
                   const std::vector<v1::Event>& events);
  absl::StatusOr<std::vector<KnownTask>> Unfinished();
  // Unfinished tasks, and ended ones whose end is not acknowledged.
  absl::StatusOr<std::vector<TaskSummary>> List();

  // --- what a backup's steps learn (journal_backups.cc)

  absl::Status PutPreflight(const TaskId& task, const BackupData& data);
  absl::Status PutSnapshot(const TaskId& task, const SnapshotResult& snapshot);
  absl::Status PutCopyBegin(const TaskId& task, const std::string& target, const CopyBegin& begin);
  absl::Status PutCopy(const TaskId& task, const std::string& target,
                       const worker::v1::CopyResult& copy);
  // Before the hypervisor is asked to write into `folder`.
  absl::Status PutExportFolder(const TaskId& task, const std::string& folder);
  absl::Status PutSealed(const TaskId& task, const worker::v1::SealExportResult& sealed);
  // Where the task let a hypervisor export to; empty when it did not.
  absl::StatusOr<std::string> ExportFolder(const TaskId& task);
  // A backup by its task's id, ended or not, and what is known of it: an overlay's name leads here.
  absl::StatusOr<std::optional<KnownTask>> FindByOverlay(const std::string& task_id);
  // Ended backups whose overlays are not all merged and removed.
  absl::StatusOr<std::vector<KnownTask>> Stranded();
  // The VM is off the task's overlays.
  absl::Status ForgetOverlays(const TaskId& task);
  // Ended tasks whose files may still lie in a repository.
  absl::StatusOr<std::vector<TaskRecord>> Leftovers();
  absl::Status ForgetFiles(const TaskId& task);
  absl::Status PutWorker(const WorkerProcess& worker);
  absl::Status RemoveWorker(pid_t pid, uint64_t start_time);
  absl::StatusOr<std::vector<WorkerProcess>> Workers();

  // --- events (journal_events.cc)

  // The first `limit` events after `sequence`, in order.
  absl::StatusOr<std::vector<v1::Event>> EventsAfter(int64_t sequence, int limit);
  absl::StatusOr<int64_t> LastSequence();
  // The controller has everything up to `sequence`: forgotten.
  absl::Status Acknowledge(int64_t sequence);

 private:
  Journal(std::unique_ptr<SQLite::Database> db, const std::string& folder, Clock& clock);

  absl::Status ReadOrMakeExecutorId();
  // Runs `body` in a transaction; once more after the reserve was given up, when the disk is full.
  absl::Status Write(absl::string_view what,
                     const std::function<absl::Status(SQLite::Database&)>& body)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status WriteUnmetered(absl::string_view what,
                              const std::function<absl::Status(SQLite::Database&)>& body)
      ABSL_LOCKS_EXCLUDED(mu_);
  template <typename Body>
  auto Read(absl::string_view what, Body body) ABSL_LOCKS_EXCLUDED(mu_) {
    // The handle is for one thread at a time: waiting for the disk here is the point.
    MutexLock lock(&mu_);
    SQLite::Database& db = *db_;
    return sqlite::Guard(what, [&] { return body(db); });
  }

  Clock& clock_;
  std::string executor_id_;  // set by Open()
  WriteMeter write_meter_;
  Mutex mu_;
  std::unique_ptr<SQLite::Database> db_ ABSL_PT_GUARDED_BY(mu_);
  ReserveFile reserve_ ABSL_GUARDED_BY(mu_);
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_JOURNAL_JOURNAL_H_
