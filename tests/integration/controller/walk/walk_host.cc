#include "tests/integration/controller/walk/walk_host.h"

#include "common/error.h"

#include <algorithm>

namespace vmkeep::controller::test {

HostInventory WalkHost::inventory() const {
  HostInventory all;
  all.vms.reserve(vms.size());
  for (const auto& [uuid, vm] : vms) all.vms.push_back(vm);
  for (int slot = 1; slot <= 2; ++slot) {
    RepositoryRecord repository;
    repository.id = slot == 1 ? "repository-p" : "repository-s";
    repository.slot = slot;
    repository.total_bytes = 1000;
    repository.free_bytes = 900;
    repository.health = Health::kHealthy;
    all.repositories.push_back(repository);
  }
  return all;
}

std::vector<KnownTask> WalkHost::tasks() const {
  std::vector<KnownTask> known;
  known.reserve(running_.size() + events_.size());
  for (const auto& [backup, task] : running_) known.push_back({task.ref, backup, false});
  for (const ExecutorEvent& event : events_) known.push_back({event.task, event.backup_id, true});
  return known;
}

absl::Status WalkHost::Start(const BackupRecord& record) {
  const TaskRef ref{record.task_id, record.epoch};
  if (fenced_.contains(ref.task_id) || record.epoch < highest_epoch_[record.id]) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "STALE_EPOCH", "fenced");
  }
  if (record.epoch == highest_epoch_[record.id]) return absl::OkStatus();  // known
  for (const auto& [backup, task] : running_) {
    if (task.vm_uuid == record.vm_uuid)
      return MakeError(absl::StatusCode::kFailedPrecondition, "VM_BUSY", "another task");
  }
  highest_epoch_[record.id] = record.epoch;
  running_[record.id] = {
      ref, record.id, record.vm_uuid, record.repository_id, record.task_is_scrub, false};
  return absl::OkStatus();
}

bool WalkHost::Cancel(const TaskRef& ref) {
  for (auto& [backup, task] : running_) {
    if (task.ref != ref) continue;
    task.cancelled = true;
    return false;
  }
  fenced_.insert(ref.task_id);
  return std::none_of(events_.begin(), events_.end(),
                      [&](const ExecutorEvent& event) { return event.task == ref; });
}

void WalkHost::Finish(const BackupId& backup, const WalkEnd& end) {
  const Task task = running_.at(backup);
  running_.erase(backup);
  const std::pair<std::string, BackupId> folder{task.repository_id, backup};
  TaskEnded ended;
  ended.outcome = end.outcome;
  if (end.outcome == Outcome::kDone && task.scrub) {
    disks_.published.erase(folder);
    disks_.leftovers[folder].erase(id_);
  } else if (end.outcome == Outcome::kDone) {
    disks_.published.insert(folder);
    ended.backup.emplace().stored_bytes = 10;
  } else if (end.outcome == Outcome::kFailed) {
    Failure& failure = ended.failure.emplace();
    failure.reason = end.repository_fault ? "REPOSITORY_IO_ERROR" : "TEST";
    failure.phase = end.publishing ? "PUBLISHING" : "COPYING";
    failure.retryable = end.retryable;
    ended.files_may_remain = end.files_may_remain;
    if (!task.scrub) {
      ended.snapshot_taken = end.snapshot_taken;
      ended.vm_on_overlay = end.vm_on_overlay;
      const bool only_incoming = end.repository_fault && !end.publishing;
      if (end.files_may_remain)
        (only_incoming ? disks_.incoming : disks_.leftovers)[folder].insert(id_);
    }
  }
  const auto vm = vms.find(task.vm_uuid);
  if (ended.vm_on_overlay && vm != vms.end()) {
    Overlay& overlay = vm->second.overlay.emplace();
    overlay.backup_id = backup;
    overlay.needs_attention = true;
  }
  ExecutorEvent event;
  event.sequence = ++sequence_;
  event.task = task.ref;
  event.backup_id = backup;
  event.body = std::move(ended);
  events_.push_back(std::move(event));
}

void WalkHost::Acknowledge(int64_t sequence) {
  std::erase_if(events_, [&](const ExecutorEvent& event) { return event.sequence <= sequence; });
}

}  // namespace vmkeep::controller::test
