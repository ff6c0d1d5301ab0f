#include "controller/domain/lifecycle.h"

#include "controller/domain/errors.h"
#include "controller/domain/repository_fault.h"
#include "controller/domain/states.h"

#include "absl/strings/str_cat.h"

#include <utility>

namespace vmkeep::controller {
namespace {

// The phase of everything that a scrub does: by it a scrub's own failure is told from the backup's.
constexpr char kScrubPhase[] = "REMOVING";
constexpr char kRemoved[] = "REMOVED";
// The phase in which the files may have got their final name.
constexpr char kPublishPhase[] = "PUBLISHING";

bool IsCurrent(const BackupRecord& record, const ExecutorEvent& event) {
  return record.task_open && event.backup_id == record.id && event.task.epoch == record.epoch &&
         event.task.task_id == record.task_id;
}

void CloseTask(BackupRecord& record) {
  record.task_open = false;
  record.reserved_bytes = 0;
}

void FillResult(BackupRecord& record, const BackupResult& result) {
  record.time_valid = result.time_valid;
  record.consistency = result.consistency;
  record.virtual_bytes = result.virtual_bytes;
  record.data_bytes = result.data_bytes;
  record.stored_bytes = result.stored_bytes;
  record.manifest_sha256 = result.manifest_sha256;
  record.excluded_disks = result.excluded_disks;
  record.simulated = result.simulated;
}

// Back into the queue, to be placed anew. Where files may lie stays said.
void QueueAgain(BackupRecord& record) {
  record.state = BackupState::kRequested;
  record.time_valid.reset();
  if (record.files_may_exist) return;
  record.repository = 0;
  record.repository_id.clear();
  record.placement_reason.clear();
}

// What follows a failed try.
enum class Next { kGiveUp, kTryAgain, kMove };

// `record` as it was before the try's end.
Next NextAfter(const BackupRecord& record, const TaskEnded& ended, const Failure& failure) {
  if (ended.outcome != Outcome::kFailed || ended.vm_on_overlay) return Next::kGiveUp;
  if (!ended.snapshot_taken && failure.retryable && record.attempts < kMaxAttempts) {
    return Next::kTryAgain;
  }
  // To another repository: when this one is at fault, nobody asked for it, and no file of the
  // backup can be there under its final name. What lies in its .incoming pins nothing: the journal
  // of the host names it, and it goes when the repository is back (ADR 0057).
  const bool may_be_published = ended.files_may_remain && failure.phase == kPublishPhase;
  const bool free = record.requested_repository == 0 && !record.repository_id.empty() &&
                    !record.files_may_exist && !may_be_published;
  return free && IsRepositoryFault(failure.reason) ? Next::kMove : Next::kGiveUp;
}

void Fail(BackupRecord& record, Failure failure, Next next) {
  if (next == Next::kMove) {
    record.left_repositories.push_back(
        {record.repository_id,
         absl::StrCat("moved away from ", error::SlotName(record.repository), ", which failed in ",
                      failure.phase, ": ", failure.reason)});
  } else if (next == Next::kTryAgain) {
    // Where it was: the next try looks elsewhere first.
    if (IsRepositoryFault(failure.reason)) failure.metadata["repository_id"] = record.repository_id;
    ++record.attempts;
  }
  record.failure = std::move(failure);
  if (next == Next::kGiveUp) {
    record.state = BackupState::kUnresourced;
  } else {
    QueueAgain(record);
  }
}

// No repository takes it now. One that moved waits for none: why it moved says more.
void FailPlacement(BackupRecord& record, Failure failure) {
  if (!record.left_repositories.empty() && record.failure.has_value()) {
    record.failure->message = absl::StrCat(record.failure->message,
                                           " No other repository could take it: ", failure.message);
    record.state = BackupState::kUnresourced;
    return;
  }
  const bool again = failure.retryable && record.attempts < kMaxAttempts;
  Fail(record, std::move(failure), again ? Next::kTryAgain : Next::kGiveUp);
}

// A scrub that waits for the end of the backup's own task got it.
void EndCancelled(BackupRecord& record) {
  record.state = record.files_may_exist ? BackupState::kScrub : BackupState::kClosed;
}

void FailScrub(BackupRecord& record, Failure failure) {
  failure.phase = kScrubPhase;
  record.failure = std::move(failure);
  record.state = BackupState::kScrub;
}

// How it failed, in any case: an executor that gives no reason, or a result that is none, is said
// as such.
Failure FailureOf(const TaskEnded& ended, absl::Time time) {
  if (ended.failure.has_value()) return *ended.failure;
  Failure failure;
  failure.time = time;
  if (ended.outcome == Outcome::kCancelled) {
    failure.reason = "CANCELLED";
    failure.message =
        "the task was stopped on its host without a scrub of the backup: ask for a new backup";
    failure.retryable = true;
  } else {
    failure.reason = "BAD_REPORT";
    failure.message = "the executor reported an end without its result or reason: look at its log";
  }
  return failure;
}

void EndBackup(BackupRecord& record, const TaskEnded& ended, absl::Time time) {
  const bool done = ended.outcome == Outcome::kDone;
  const bool complete = done && ended.backup.has_value();
  const Failure failure = FailureOf(ended, time);
  const Next next = NextAfter(record, ended, failure);
  const bool moves = record.state != BackupState::kScrub && next == Next::kMove;
  CloseTask(record);
  record.vm_on_overlay = ended.vm_on_overlay;
  // Files that an earlier try left do not vanish because this one left none.
  record.files_may_exist = record.files_may_exist || done || (ended.files_may_remain && !moves);
  if (complete) FillResult(record, *ended.backup);

  if (record.state == BackupState::kScrub) {
    if (ended.outcome == Outcome::kFailed) record.failure = failure;
    EndCancelled(record);
  } else if (complete) {
    record.failure.reset();
    record.state = BackupState::kRunning;
  } else {
    Fail(record, failure, next);
  }
}

void EndScrub(BackupRecord& record, const TaskEnded& ended, absl::Time time) {
  CloseTask(record);
  if (ended.outcome != Outcome::kDone) return FailScrub(record, FailureOf(ended, time));
  // Why the backup itself had failed stays for audit.
  if (record.failure.has_value() && record.failure->phase == kScrubPhase) record.failure.reset();
  record.files_may_exist = false;
  record.scrub_level = kRemoved;
  record.state = BackupState::kClosed;
}

}  // namespace

std::optional<BackupRecord> ApplyEvent(const BackupRecord& record, const ExecutorEvent& event) {
  if (!IsCurrent(record, event)) return std::nullopt;
  BackupRecord next = record;
  if (const auto* step = std::get_if<StepDone>(&event.body)) {
    const bool instant = step->step == "snapshot" || step->step == "export";
    if (record.task_is_scrub || !instant || !step->time_valid) return std::nullopt;
    if (record.time_valid == step->time_valid) return std::nullopt;
    next.time_valid = step->time_valid;
    return next;
  }
  const auto* ended = std::get_if<TaskEnded>(&event.body);
  if (ended == nullptr) return std::nullopt;
  if (record.task_is_scrub) {
    EndScrub(next, *ended, event.time);
  } else {
    EndBackup(next, *ended, event.time);
  }
  return next;
}

absl::StatusOr<BackupRecord> RequestScrub(const BackupRecord& record) {
  if (record.state == BackupState::kScrub || record.state == BackupState::kScrubbing) return record;
  if (!MayGo(record.state, BackupState::kScrub)) {
    return error::IllegalTransition(record.state, BackupState::kScrub);
  }
  BackupRecord next = record;
  next.state = BackupState::kScrub;
  return next;
}

absl::StatusOr<BackupRecord> RequestRetry(const BackupRecord& record) {
  if (record.state != BackupState::kUnresourced) {
    return error::IllegalTransition(record.state, BackupState::kRequested);
  }
  BackupRecord next = record;
  next.failure.reset();
  next.attempts = 0;
  next.left_repositories.clear();
  QueueAgain(next);
  return next;
}

absl::StatusOr<BackupRecord> BeginTask(const BackupRecord& record, std::string task_id,
                                       int repository, std::string repository_id,
                                       std::string placement_reason, int64_t reserved_bytes) {
  const Need need = NeedOf(record);
  if (need != Need::kBackupTask && need != Need::kScrubTask)
    return error::StaleTask(record, "a new task");
  BackupRecord next = record;
  ++next.epoch;
  next.task_id = std::move(task_id);
  next.task_open = true;
  next.task_is_scrub = need == Need::kScrubTask;
  if (next.task_is_scrub) {  // where its files are is known since the backup's own task
    if (repository_id == record.repository_id) next.repository = repository;
    next.state = BackupState::kScrubbing;
    return next;
  }
  next.state = BackupState::kBuilding;
  next.failure.reset();
  next.repository = repository;
  next.repository_id = std::move(repository_id);
  next.placement_reason = std::move(placement_reason);
  next.reserved_bytes = reserved_bytes;
  return next;
}

absl::StatusOr<BackupRecord> RejectTask(const BackupRecord& record, int64_t epoch,
                                        Failure failure) {
  if (epoch != record.epoch)
    return error::StaleTask(record, absl::StrCat("the refusal of epoch ", epoch));
  BackupRecord next = record;
  switch (record.state) {
    case BackupState::kRequested:
      CloseTask(next);
      FailPlacement(next, std::move(failure));
      return next;
    case BackupState::kBuilding: {
      const Next then = NextAfter(record, TaskEnded(), failure);
      CloseTask(next);
      Fail(next, std::move(failure), then);
      return next;
    }
    case BackupState::kScrub:
      if (record.task_open) {
        // Refused, or not known any more: it may also have ended with files before the news came.
        // Scrubbing nothing is cheap, files that no record names stay for good.
        CloseTask(next);
        next.files_may_exist = true;
      } else {
        FailScrub(next, std::move(failure));
      }
      return next;
    case BackupState::kScrubbing:
      CloseTask(next);
      FailScrub(next, std::move(failure));
      return next;
    case BackupState::kUnresourced:
    case BackupState::kRunning:
    case BackupState::kClosed:
      break;
  }
  return error::StaleTask(record, "the refusal of a task");
}

absl::StatusOr<BackupRecord> CloseWithoutTask(const BackupRecord& record) {
  if (NeedOf(record) != Need::kCloseNow)
    return error::StaleTask(record, "closing it without a task");
  BackupRecord next = record;
  next.reserved_bytes = 0;
  next.state = BackupState::kClosed;
  return next;
}

Need NeedOf(const BackupRecord& record) {
  switch (record.state) {
    case BackupState::kRequested:
      return Need::kBackupTask;
    case BackupState::kBuilding:
    case BackupState::kScrubbing:
      return Need::kAwaitTask;
    case BackupState::kScrub:
      if (record.task_open) return Need::kCancelTask;
      return record.files_may_exist ? Need::kScrubTask : Need::kCloseNow;
    case BackupState::kUnresourced:
    case BackupState::kRunning:
    case BackupState::kClosed:
      break;
  }
  return Need::kNothing;
}

}  // namespace vmkeep::controller
