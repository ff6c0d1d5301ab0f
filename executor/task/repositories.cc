#include "executor/task/repositories.h"

#include "common/error.h"
#include "common/log.h"
#include "common/process/process.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "executor/task/backup_manifest.h"
#include "executor/task/worker_job.h"

#include <cstdlib>
#include <utility>

namespace vmkeep::executor {
namespace {

using ::vmkeep::v1::Repository;

// Free space moves all the time: a hundredth of the whole is news.
bool IsNews(const Repository& before, const Repository& now) {
  return before.id() != now.id() || before.health() != now.health() ||
         before.message() != now.message() || before.target() != now.target() ||
         before.total_bytes() != now.total_bytes() ||
         std::llabs(before.free_bytes() - now.free_bytes()) * 100 > now.total_bytes();
}

}  // namespace

Repositories::Repositories(const Environment& env, RepositoryGuard& guard,
                           std::function<void()> changed)
    : env_(env), guard_(guard), changed_(std::move(changed)) {
  guard_.OnIll([this](const std::string& root) { NoteIll(root); });
  for (const auto& [slot, path] : env_.options.repositories) {
    Repository unknown;
    unknown.set_slot(slot);
    unknown.set_path(path);
    unknown.set_message("not probed yet");
    found_[slot] = unknown;
  }
}

void Repositories::Run() {
  for (const auto& [slot, path] : env_.options.repositories) {
    threads_.emplace_back(
        [this, slot = slot](const std::stop_token& stop) { ProbeLoop(slot, stop); });
  }
}

std::vector<Repository> Repositories::List() {
  std::vector<Repository> list;
  MutexLock lock(&mu_);
  list.reserve(found_.size());
  for (const auto& [slot, repository] : found_) list.push_back(repository);
  return list;
}

void Repositories::Refresh() {
  std::map<int, std::stop_source> naps;
  {
    MutexLock lock(&mu_);
    naps = naps_;
  }
  for (auto& [slot, nap] : naps) nap.request_stop();
}

absl::StatusOr<Repository> Repositories::Init(int slot, bool allow_plain_directory,
                                              const std::stop_token& stop) {
  worker::v1::Request request;
  worker::v1::InitRepository& init = *request.mutable_init_repository();
  VMKEEP_ASSIGN_OR_RETURN(*init.mutable_repository(), RepositoryOf(env_.options, slot, NewUuid4()));
  init.set_allow_plain_directory(allow_plain_directory);
  const absl::StatusOr<worker::v1::Result> result =
      env_.worker.Run(request, env_.options.probe_deadline, absl::InfiniteDuration(), stop, {});
  VMKEEP_RETURN_IF_ERROR(result.status());
  Repository found = ToRepository(slot, result);
  bool news = false;
  {
    MutexLock lock(&mu_);
    ++inits_[slot];
    news = Keep(found);
  }
  if (news) changed_();
  return found;
}

// The journal tells a worker's repository by its id; the task that it worked for, or left files
// there, tells where that is mounted.
void Repositories::EndLeftovers() {
  EndLeftoverWorkers(env_.journal);
  const absl::StatusOr<std::vector<WorkerProcess>> workers = env_.journal.Workers();
  if (!workers.ok() || workers->empty()) return;
  std::map<std::string, int> slots;
  if (const auto tasks = env_.journal.Unfinished(); tasks.ok()) {
    for (const KnownTask& task : *tasks) slots[task.record.repository_id] = task.record.slot;
  }
  if (const auto tasks = env_.journal.Leftovers(); tasks.ok()) {
    for (const TaskRecord& task : *tasks) slots[task.repository_id] = task.slot;
  }
  for (const WorkerProcess& worker : *workers) {
    const process::ProcessId process{worker.pid, worker.start_time};
    if (!process::IsRunning(process)) continue;
    const auto slot = slots.find(worker.repository_id);
    if (slot == slots.end()) continue;
    const auto root = env_.options.repositories.find(slot->second);
    if (root != env_.options.repositories.end()) guard_.Adopt(root->second, process);
  }
}

void Repositories::NoteIll(const std::string& root) {
  bool news = false;
  const RepositoryGuard::Look look = guard_.LookAt(root);
  {
    MutexLock lock(&mu_);
    for (auto& [slot, known] : found_) {
      if (known.path() != root || known.health() != Repository::HEALTHY || !look.ill) continue;
      known.set_health(Repository::ILL);
      known.set_message(look.message);
      news = true;
    }
  }
  if (news) changed_();
}

void Repositories::ProbeLoop(int slot, const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::stop_source nap;
    {
      MutexLock lock(&mu_);
      naps_[slot] = nap;
    }
    Probe(slot, stop);
    ForgetEndedWorkers(env_.journal);
    const std::stop_callback forward(stop, [&nap] { nap.request_stop(); });
    env_.clock.WaitFor(env_.options.probe_interval, nap.get_token());
  }
}

void Repositories::Probe(int slot, const std::stop_token& stop) {
  worker::v1::Request request;
  absl::StatusOr<worker::v1::Repository> repository = RepositoryOf(env_.options, slot, "");
  if (!repository.ok()) return;
  *request.mutable_probe()->mutable_repository() = *std::move(repository);
  int64_t inits = 0;
  {
    MutexLock lock(&mu_);
    inits = inits_[slot];
  }
  const absl::StatusOr<worker::v1::Result> result =
      env_.worker.Run(request, env_.options.probe_deadline, absl::InfiniteDuration(), stop, {});
  if (stop.stop_requested()) return;
  const Repository found = ToRepository(slot, result);
  bool news = false;
  {
    MutexLock lock(&mu_);
    news = inits == inits_[slot] && Keep(found);
  }
  if (news) changed_();
  if (found.health() == Repository::HEALTHY) RemoveLeftovers(found, stop);
}

bool Repositories::Keep(const Repository& found) {
  Repository& known = found_[found.slot()];
  const bool news = IsNews(known, found);
  known = found;
  return news;
}

Repository Repositories::ToRepository(int slot, const absl::StatusOr<worker::v1::Result>& result) {
  Repository repository;
  repository.set_slot(slot);
  repository.set_path(env_.options.repositories.at(slot));
  *repository.mutable_probe_time() = ToTimestamp(env_.clock.Now());
  if (result.ok()) {
    repository.set_id(result->probe().id());
    repository.set_total_bytes(result->probe().total_bytes());
    repository.set_free_bytes(result->probe().free_bytes());
    repository.set_target(result->probe().target());
    const RepositoryGuard::Look look = guard_.LookAt(repository.path());
    repository.set_health(look.ill ? Repository::ILL : Repository::HEALTHY);
    repository.set_message(look.message);
    return repository;
  }
  repository.set_message(std::string(result.status().message()));
  repository.set_target(ErrorDetails(result.status())["target"]);
  repository.set_health(ErrorReason(result.status()) == "REPOSITORY_MARKER_ABSENT"
                            ? Repository::UNINITIALIZED
                            : Repository::ILL);
  return repository;
}

void Repositories::RemoveLeftovers(const Repository& repository, const std::stop_token& stop) {
  const absl::StatusOr<std::vector<TaskRecord>> leftovers = env_.journal.Leftovers();
  if (!leftovers.ok()) return;
  for (const TaskRecord& record : *leftovers) {
    if (record.slot != repository.slot() || record.repository_id != repository.id()) continue;
    const log::Scope scope({{"backup", record.backup_id}, {"host", env_.options.hostname}});
    absl::Status status = DiscardTry(env_, record, stop);
    if (status.ok()) status = env_.journal.ForgetFiles(record.task);
    log::Info("task_files_remain", {{"backup", record.backup_id},
                                    {"host", env_.options.hostname},
                                    {"task", record.task.ToString()},
                                    {"result", status.ok() ? "removed" : status.message()}});
    // An export that goes on says nothing of the repository, nor of the files of other tasks.
    if (!status.ok() && ErrorReason(status) != "EXPORT_NOT_ENDED") return;
  }
}

}  // namespace vmkeep::executor
