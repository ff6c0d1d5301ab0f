#include "executor/task/worker_job.h"

#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "common/process/process.h"
#include "common/status_macros.h"
#include "executor/hypervisor/errors.h"
#include "executor/task/errors.h"

#include <algorithm>
#include <utility>

namespace vmkeep::executor {
namespace {

// Of all that were killed. One that is there still hangs in the kernel, and says of its repository
// that it is ill.
constexpr absl::Duration kKilledEndsWithin = absl::Seconds(1);

void NoteStart(Journal& journal, const WorkerProcess& worker) {
  // The row only helps to clean up sooner: the job does not wait for a journal that is ill.
  if (const absl::Status status = journal.PutWorker(worker); !status.ok()) {
    log::Warning("worker_not_journalled", {{"pid", worker.pid}, {"error", status.message()}});
  }
}

void NoteEnd(Journal& journal, const WorkerProcess& worker) {
  if (worker.pid == 0) return;
  if (process::IsRunning({worker.pid, worker.start_time})) {
    log::Warning("worker_abandoned", {{"pid", worker.pid}, {"repository", worker.repository_id}});
    return;  // stays in the journal
  }
  const absl::Status status = journal.RemoveWorker(worker.pid, worker.start_time);
  if (!status.ok()) log::Warning("worker_not_forgotten", {{"error", status.message()}});
}

absl::Status RunRemoval(const Environment& env, const worker::v1::Request& request,
                        const std::string& repository_id, const std::stop_token& stop) {
  return RunJob(env, request, repository_id, {.deadline = env.options.remove_deadline}, stop)
      .status();
}

// The journal tells what the task let a hypervisor write into; without a word of it nothing is
// known to be safe.
absl::Status EndExportOf(const Environment& env, const TaskRecord& record) {
  VMKEEP_ASSIGN_OR_RETURN(const std::string folder, env.journal.ExportFolder(record.task));
  if (folder.empty()) return absl::OkStatus();
  absl::Status status = env.hypervisor.EndExport({.vm_uuid = record.vm_uuid, .folder = folder});
  if (status.ok() || ErrorReason(status) == "EXPORT_NOT_ENDED") return status;
  return error::ExportNotEnded(record.vm_uuid, status.message());
}

}  // namespace

absl::StatusOr<worker::v1::Repository> RepositoryOf(const TaskOptions& options, int slot,
                                                    const std::string& id) {
  const auto found = options.repositories.find(slot);
  if (found == options.repositories.end()) return error::RepositoryNotConfigured(slot);
  worker::v1::Repository repository;
  repository.set_root(found->second);
  repository.set_id(id);
  return repository;
}

absl::StatusOr<worker::v1::Result> RunJob(const Environment& env,
                                          const worker::v1::Request& request,
                                          const std::string& repository_id, const JobLimits& limits,
                                          const std::stop_token& stop,
                                          const OnProgress& on_progress) {
  WorkerProcess started;
  Worker::Hooks hooks;
  hooks.on_progress = on_progress;
  hooks.on_started = [&](pid_t pid, uint64_t start_time) {
    started = {pid, start_time, repository_id};
    NoteStart(env.journal, started);
  };
  absl::StatusOr<worker::v1::Result> result =
      env.worker.Run(request, limits.deadline, limits.stall, stop, hooks);
  NoteEnd(env.journal, started);
  return result;
}

absl::Status DiscardTry(const Environment& env, const TaskRecord& record,
                        const std::stop_token& stop) {
  VMKEEP_RETURN_IF_ERROR(EndExportOf(env, record));
  worker::v1::Request request;
  VMKEEP_ASSIGN_OR_RETURN(*request.mutable_discard()->mutable_repository(),
                          RepositoryOf(env.options, record.slot, record.repository_id));
  request.mutable_discard()->set_incoming(record.task.ToString());
  request.mutable_discard()->set_vm_uuid(record.vm_uuid);
  request.mutable_discard()->set_backup_id(record.backup_id);
  return RunRemoval(env, request, record.repository_id, stop);
}

absl::Status ScrubPublished(const Environment& env, const TaskRecord& record,
                            const std::stop_token& stop) {
  worker::v1::Request request;
  VMKEEP_ASSIGN_OR_RETURN(*request.mutable_scrub()->mutable_repository(),
                          RepositoryOf(env.options, record.slot, record.repository_id));
  request.mutable_scrub()->set_vm_uuid(record.vm_uuid);
  request.mutable_scrub()->set_backup_id(record.backup_id);
  return RunRemoval(env, request, record.repository_id, stop);
}

void EndLeftoverWorkers(Journal& journal) {
  const absl::StatusOr<std::vector<WorkerProcess>> workers = journal.Workers();
  if (!workers.ok()) {
    log::Warning("leftover_workers_unknown", {{"error", workers.status().message()}});
    return;
  }
  for (const WorkerProcess& worker : *workers) {
    if (process::KillIfRunning({worker.pid, worker.start_time})) {
      log::Warning("leftover_worker_killed",
                   {{"pid", worker.pid}, {"repository", worker.repository_id}});
    }
  }
  const absl::Duration until = RealClock().Monotonic() + kKilledEndsWithin;
  for (const WorkerProcess& worker : *workers) {
    const absl::Duration left = until - RealClock().Monotonic();
    (void)process::KillAndWait({worker.pid, worker.start_time},
                               std::max(left, absl::ZeroDuration()));
    NoteEnd(journal, worker);
  }
}

void ForgetEndedWorkers(Journal& journal) {
  const absl::StatusOr<std::vector<WorkerProcess>> workers = journal.Workers();
  if (!workers.ok()) return;
  for (const WorkerProcess& worker : *workers) {
    if (process::IsRunning({worker.pid, worker.start_time})) continue;
    NoteEnd(journal, worker);
  }
}

}  // namespace vmkeep::executor
