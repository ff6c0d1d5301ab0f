#include "executor/task/task_manager.h"

#include "common/log.h"
#include "common/status_macros.h"
#include "executor/flat_view/leftovers.h"
#include "executor/hypervisor/errors.h"
#include "executor/task/errors.h"

#include "absl/strings/str_cat.h"

#include <utility>

namespace vmkeep::executor {

TaskManager::TaskManager(const Environment& env, EventLog& events, std::function<void()> ended)
    : env_(env), events_(events), ended_(std::move(ended)) {}

TaskManager::~TaskManager() {
  abandon_.request_stop();
  MutexLock lock(&mu_);
  while (!tasks_.empty()) changed_.Wait(&mu_);
}

absl::Status TaskManager::Recover() {
  EndLeftoverViews(env_.options.flat_view_dir);
  VMKEEP_ASSIGN_OR_RETURN(std::vector<KnownTask> tasks, env_.journal.Unfinished());
  for (KnownTask& task : tasks) {
    log::Warning("task_resumed", {{"backup", task.record.backup_id},
                                  {"host", env_.options.hostname},
                                  {"task", task.record.task.ToString()}});
    const std::shared_ptr<TaskRun> run = NewRun(std::move(task));
    VMKEEP_RETURN_IF_ERROR(Take(run));
    Launch(run, {TaskEvent::Kind::kRestarted, error::ExecutorRestarted(), {}});
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> TaskManager::Start(const TaskRecord& record) {
  VMKEEP_ASSIGN_OR_RETURN(bool known, env_.journal.Known(record.task, record.backup_id));
  if (known) return true;
  const TaskState state = NewTask(record.kind);
  const std::shared_ptr<TaskRun> run = NewRun({record, state, {}});
  VMKEEP_RETURN_IF_ERROR(Take(run));
  absl::StatusOr<bool> accepted = env_.journal.Accept(record, state);
  if (!accepted.ok() || *accepted) {
    Remove(*run);
    return accepted;
  }
  Launch(run, {TaskEvent::Kind::kStart, {}, {}});
  return false;
}

absl::StatusOr<bool> TaskManager::Cancel(const TaskId& task) {
  std::shared_ptr<TaskRun> run;
  {
    MutexLock lock(&mu_);
    if (const auto found = tasks_.find(task); found != tasks_.end()) run = found->second.run;
  }
  if (run == nullptr) return env_.journal.RefuseUnlessUnfinished(task);
  run->Cancel();
  return true;
}

bool TaskManager::Lives(const std::string& task_id) {
  MutexLock lock(&mu_);
  const auto found = tasks_.lower_bound({task_id, 0});
  return found != tasks_.end() && found->first.id == task_id && !found->second.run->ended();
}

std::vector<TaskManager::Look> TaskManager::LookAtAll() {
  std::vector<Look> looks;
  for (const auto& run : Running()) {
    if (run->ended()) continue;
    looks.push_back({run->record().kind, run->phase(), run->record().accept_time});
  }
  return looks;
}

std::unique_ptr<TaskManager::VmHold> TaskManager::Hold(const std::string& vm_uuid,
                                                       const std::string& what) {
  MutexLock lock(&mu_);
  if (draining_ || !busy_.emplace(vm_uuid, Busy{nullptr, what}).second) return nullptr;
  return std::make_unique<VmHold>(*this, vm_uuid);
}

void TaskManager::Drain(absl::Duration bound) {
  {
    MutexLock lock(&mu_);
    draining_ = true;
  }
  for (const auto& run : Running()) run->Stop(error::ExecutorStopped());
  const absl::Duration until = env_.clock.Monotonic() + bound;
  MutexLock lock(&mu_);
  while (!tasks_.empty() && env_.clock.Monotonic() < until) {
    changed_.WaitFor(&mu_, absl::Milliseconds(200));
  }
  for (const auto& [id, entry] : tasks_) {
    log::Warning("task_left_for_next_start", {{"backup", entry.run->record().backup_id},
                                              {"host", env_.options.hostname},
                                              {"task", id.ToString()}});
  }
}

absl::Status TaskManager::Take(const std::shared_ptr<TaskRun>& run) {
  const TaskRecord& record = run->record();
  std::vector<std::jthread> joined;  // after the lock
  MutexLock lock(&mu_);
  joined.swap(finished_);
  if (draining_) return error::ExecutorStopped();
  Busy& busy = busy_[record.vm_uuid];
  // One that ended has only its thread to end: its controller may know already and go on.
  const bool free = busy.with_what.empty() || (busy.run != nullptr && busy.run->ended());
  if (!free) return error::VmBusy(record.vm_uuid, busy.with_what);
  busy = {run, absl::StrCat("the ", TaskKindName(record.kind), " of backup ", record.backup_id)};
  tasks_[record.task] = {run, {}};
  return absl::OkStatus();
}

void TaskManager::Launch(const std::shared_ptr<TaskRun>& run, TaskEvent first) {
  MutexLock lock(&mu_);
  tasks_[run->record().task].thread = std::jthread([this, run, first = std::move(first)] {
    run->Execute(first);
    Remove(*run);
    ended_();
  });
}

void TaskManager::Remove(const TaskRun& run) {
  MutexLock lock(&mu_);
  if (const auto found = tasks_.find(run.record().task); found != tasks_.end()) {
    if (found->second.thread.joinable()) finished_.push_back(std::move(found->second.thread));
    tasks_.erase(found);
  }
  Free(run.record().vm_uuid, &run);
  changed_.NotifyAll();
}

void TaskManager::Release(const std::string& vm_uuid) {
  MutexLock lock(&mu_);
  Free(vm_uuid, nullptr);
}

void TaskManager::Free(const std::string& vm_uuid, const TaskRun* owner) {
  const auto found = busy_.find(vm_uuid);
  if (found != busy_.end() && found->second.run.get() == owner) busy_.erase(found);
}

std::vector<std::shared_ptr<TaskRun>> TaskManager::Running() {
  std::vector<std::shared_ptr<TaskRun>> running;
  MutexLock lock(&mu_);
  running.reserve(tasks_.size());
  for (const auto& [id, entry] : tasks_) running.push_back(entry.run);
  return running;
}

std::shared_ptr<TaskRun> TaskManager::NewRun(KnownTask task) {
  return std::make_shared<TaskRun>(env_, events_, std::move(task), abandon_.get_token());
}

}  // namespace vmkeep::executor
