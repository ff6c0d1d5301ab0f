#include "controller/progress/recorder.h"

#include "common/status_macros.h"
#include "common/uuid.h"
#include "controller/domain/errors.h"
#include "controller/domain/lifecycle.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace vmkeep::controller {
namespace {

using Records = std::vector<BackupRecord>;

// Reads the record, changes it by `change` and puts it.
template <typename Change>
BackupStore::Mutation Changing(BackupId id, Change change) {
  return [id = std::move(id),
          change = std::move(change)](StoreTransaction& transaction) -> absl::StatusOr<Records> {
    VMKEEP_ASSIGN_OR_RETURN(std::optional<BackupRecord> record, transaction.Get(kAnyProject, id));
    if (!record) return error::BackupNotFound(id);
    VMKEEP_ASSIGN_OR_RETURN(BackupRecord next, change(*record));
    VMKEEP_ASSIGN_OR_RETURN(BackupRecord put, transaction.Put(std::move(next)));
    return Records{std::move(put)};
  };
}

// Another host's executor has no say about this record.
absl::Status ApplyOne(StoreTransaction& transaction, const HostId& host, const ExecutorEvent& event,
                      Records& changed) {
  VMKEEP_ASSIGN_OR_RETURN(const std::optional<BackupRecord> record,
                          transaction.Get(kAnyProject, event.backup_id));
  if (!record || record->host_id != host) return absl::OkStatus();
  std::optional<BackupRecord> next = ApplyEvent(*record, event);
  if (!next) return absl::OkStatus();
  VMKEEP_ASSIGN_OR_RETURN(BackupRecord put, transaction.Put(*std::move(next)));
  changed.push_back(std::move(put));
  return absl::OkStatus();
}

absl::StatusOr<Records> ApplyAll(StoreTransaction& transaction, const HostId& host,
                                 const std::string& executor_id,
                                 const std::vector<ExecutorEvent>& events, int64_t last) {
  VMKEEP_ASSIGN_OR_RETURN(const std::optional<HostRecord> known, transaction.GetHost(host));
  if (!known || known->executor_id != executor_id) return error::StaleExecutor(host, executor_id);
  Records changed;
  for (const ExecutorEvent& event : events)
    VMKEEP_RETURN_IF_ERROR(ApplyOne(transaction, host, event, changed));
  if (last > 0) VMKEEP_RETURN_IF_ERROR(transaction.PutAcknowledged(host, last));
  return changed;
}

}  // namespace

Recorder::Recorder(BackupStore& store, LiveState& live, Clock& clock)
    : store_(store), clock_(clock), tasks_(std::make_shared<OpenTasks>(live)) {}

void Recorder::ApplyEvents(const HostId& host, const std::string& executor_id,
                           std::vector<ExecutorEvent> events,
                           std::function<void(absl::StatusOr<int64_t>)> done) {
  int64_t last = 0;
  std::vector<ExecutorEvent> durable;
  for (ExecutorEvent& event : events) {
    last = std::max(last, event.sequence);
    if (const auto* progress = std::get_if<TaskProgress>(&event.body)) {
      if (tasks_->SetProgress(event, progress->progress) == OpenTasks::Known::kNo)
        Learn(event.backup_id);
    } else if (event.sequence > 0) {
      durable.push_back(std::move(event));
    }
  }
  if (durable.empty()) return done(last);
  store_.Commit(
      [host, executor_id, last, durable = std::move(durable)](StoreTransaction& transaction) {
        return ApplyAll(transaction, host, executor_id, durable, last);
      },
      [tasks = tasks_, last, done = std::move(done)](const absl::StatusOr<Records>& changed) {
        if (!changed.ok()) return done(changed.status());
        for (const BackupRecord& record : *changed) tasks->Follow(record);
        done(last);
      });
}

void Recorder::BeginTask(const BackupId& id, Dispatch dispatch, Done done) {
  Commit(Changing(id,
                  [&clock = clock_, dispatch = std::move(dispatch)](
                      const BackupRecord& record) -> absl::StatusOr<BackupRecord> {
                    const Need wanted = dispatch.scrub ? Need::kScrubTask : Need::kBackupTask;
                    if (NeedOf(record) != wanted) return error::StaleTask(record, "a new task");
                    return controller::BeginTask(record, NewUuid7(clock.Now()), dispatch.repository,
                                                 dispatch.repository_id, dispatch.placement_reason,
                                                 dispatch.reserved_bytes);
                  }),
         std::move(done));
}

void Recorder::RejectTask(const BackupId& id, int64_t epoch, Failure failure, Done done) {
  Commit(Changing(id,
                  [epoch, failure = std::move(failure)](const BackupRecord& record) {
                    return controller::RejectTask(record, epoch, failure);
                  }),
         std::move(done));
}

void Recorder::CloseWithoutTask(const BackupId& id, Done done) {
  Commit(
      Changing(id, [](const BackupRecord& record) { return controller::CloseWithoutTask(record); }),
      std::move(done));
}

void Recorder::Learn(const BackupId& id) {
  // On the writer, though it writes nothing: there it cannot overtake the end of the task.
  Commit(
      [id](StoreTransaction& transaction) -> absl::StatusOr<Records> {
        VMKEEP_ASSIGN_OR_RETURN(std::optional<BackupRecord> record,
                                transaction.Get(kAnyProject, id));
        return record ? Records{*std::move(record)} : Records();
      },
      [](const absl::StatusOr<Records>&) {});
}

void Recorder::Commit(BackupStore::Mutation mutation, Done done) {
  store_.Commit(std::move(mutation),
                [tasks = tasks_, done = std::move(done)](const absl::StatusOr<Records>& changed) {
                  if (changed.ok()) {
                    for (const BackupRecord& record : *changed) tasks->Follow(record);
                  }
                  done(changed);
                });
}

}  // namespace vmkeep::controller
