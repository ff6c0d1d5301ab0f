#include "controller/progress/live_state.h"

#include "controller/domain/states.h"

#include <utility>

namespace vmkeep::controller {

LiveState::LiveState(Clock& clock) : clock_(clock) {}

void LiveState::SetProgress(const BackupId& id, const Progress& progress) {
  {
    MutexLock lock(&mu_);
    std::optional<Progress>& now = entries_[id].progress;
    if (now == progress) return;
    now = progress;
  }
  Changed(id);
}

void LiveState::SetCondition(const BackupId& id, absl::string_view type,
                             absl::string_view message) {
  {
    MutexLock lock(&mu_);
    std::map<std::string, Condition>& conditions = entries_[id].conditions;
    const auto [at, added] = conditions.try_emplace(std::string(type));
    Condition& condition = at->second;
    if (!added && condition.message == message) return;
    if (added) condition.since = clock_.Now();
    condition.type = std::string(type);
    condition.message = std::string(message);
  }
  Changed(id);
}

void LiveState::ClearCondition(const BackupId& id, absl::string_view type) {
  {
    MutexLock lock(&mu_);
    const auto entry = entries_.find(id);
    if (entry == entries_.end() || entry->second.conditions.erase(std::string(type)) == 0) return;
    if (entry->second.conditions.empty() && !entry->second.progress) entries_.erase(entry);
  }
  Changed(id);
}

void LiveState::Forget(const BackupId& id) {
  {
    MutexLock lock(&mu_);
    if (entries_.erase(id) == 0) return;
  }
  Changed(id);
}

void LiveState::SetVmConditions(std::map<BackupId, Condition> conditions) {
  std::vector<BackupId> changed;
  {
    MutexLock lock(&mu_);
    for (const auto& [id, condition] : conditions) {
      const auto before = vm_conditions_.find(id);
      if (before == vm_conditions_.end() || before->second != condition) changed.push_back(id);
    }
    for (const auto& [id, condition] : vm_conditions_) {
      if (!conditions.contains(id)) changed.push_back(id);
    }
    vm_conditions_ = std::move(conditions);
  }
  for (const BackupId& id : changed) Changed(id, About::kVm);
}

BackupView LiveState::View(BackupRecord record) const {
  BackupView view;
  {
    MutexLock lock(&mu_);
    if (const auto entry = entries_.find(record.id); entry != entries_.end()) {
      // A record ends before its work is forgotten: no progress of work that is over.
      if (!IsSettled(record.state)) view.progress = entry->second.progress;
      for (const auto& [type, condition] : entry->second.conditions)
        view.conditions.push_back(condition);
    }
    // Nothing is owed to a backup that is gone, whatever became of its VM.
    const auto of_vm = vm_conditions_.find(record.id);
    if (of_vm != vm_conditions_.end() && record.state != BackupState::kClosed)
      view.conditions.push_back(of_vm->second);
  }
  view.record = std::move(record);
  return view;
}

std::map<std::string, int> LiveState::CountConditions() const {
  std::map<std::string, int> counts;
  MutexLock lock(&mu_);
  for (const auto& [id, entry] : entries_) {
    for (const auto& [type, condition] : entry.conditions) ++counts[type];
  }
  for (const auto& [id, condition] : vm_conditions_) ++counts[condition.type];
  return counts;
}

void LiveState::OnChange(std::function<void(const BackupId&, About)> changed) {
  changed_ = std::move(changed);
}

void LiveState::Changed(const BackupId& id, About about) const {
  if (changed_) changed_(id, about);
}

}  // namespace vmkeep::controller
