#ifndef VMKEEP_CONTROLLER_PROGRESS_RECORDER_H_
#define VMKEEP_CONTROLLER_PROGRESS_RECORDER_H_

#include "common/clock.h"
#include "controller/domain/executor_event.h"
#include "controller/progress/live_state.h"
#include "controller/progress/open_tasks.h"
#include "controller/store/backup_store.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace vmkeep::controller {

// The one writer of a backup's state after Create: what the executor reports, what the scheduler
// decides and what a user asks for all become mutations here, by the pure functions of
// domain/lifecycle.h. Durable first; the store's observer then tells the watchers. Thread-safe.
class Recorder {
 public:
  using Done = std::function<void(const absl::StatusOr<std::vector<BackupRecord>>&)>;

  Recorder(BackupStore& store, LiveState& live, Clock& clock);

  // Events of a host in their order, as its executor reported them: progress to memory, the rest in
  // one commit together with the acknowledged sequence. Events of an old epoch or task, or about
  // another host's backup, change nothing and are acknowledged all the same. `done` has the last
  // durable sequence, 0 when there was none: then nothing is written and it is called at once.
  // STALE_EXECUTOR, and nothing is written, when the executor is not the host's pinned one: each
  // counts its events by itself.
  void ApplyEvents(const HostId& host, const std::string& executor_id,
                   std::vector<ExecutorEvent> events,
                   std::function<void(absl::StatusOr<int64_t>)> done);

  // Placement and a new epoch in one commit, before the executor is called. Refused when the record
  // moved on meanwhile.
  struct Dispatch {
    int repository = 0;
    std::string repository_id;
    std::string placement_reason;
    int64_t reserved_bytes = 0;
    bool scrub = false;
  };
  void BeginTask(const BackupId& id, Dispatch dispatch, Done done);
  // The executor refused the task, or placement refused the backup: back to REQUESTED with another
  // attempt when `failure.retryable` and attempts are left, else UNRESOURCED (a scrub: back to
  // SCRUB with the failure said).
  void RejectTask(const BackupId& id, int64_t epoch, Failure failure, Done done);
  // No files can exist: a SCRUB record goes to CLOSED without a task.
  void CloseWithoutTask(const BackupId& id, Done done);

 private:
  void Commit(BackupStore::Mutation mutation, Done done);
  // Progress of a backup whose task is not known here yet, as after a start: looks it up for the
  // next report.
  void Learn(const BackupId& id);

  BackupStore& store_;
  Clock& clock_;
  const std::shared_ptr<OpenTasks> tasks_;  // shared with commits under way
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_PROGRESS_RECORDER_H_
