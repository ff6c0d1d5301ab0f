#include "controller/progress/open_tasks.h"

#include "controller/domain/states.h"

namespace vmkeep::controller {

void OpenTasks::Follow(const BackupRecord& record) {
  bool over = IsSettled(record.state);
  {
    MutexLock lock(&mu_);
    if (record.task_open) {
      tasks_[record.id] = {record.task_id, record.epoch};
    } else {
      over = tasks_.erase(record.id) > 0 || over;
    }
  }
  if (over) live_.Forget(record.id);
}

OpenTasks::Known OpenTasks::SetProgress(const ExecutorEvent& event, const Progress& progress) {
  {
    MutexLock lock(&mu_);
    const auto task = tasks_.find(event.backup_id);
    if (task == tasks_.end()) return Known::kNo;
    if (task->second != event.task) return Known::kYes;
  }
  live_.SetProgress(event.backup_id, progress);
  return Known::kYes;
}

}  // namespace vmkeep::controller
