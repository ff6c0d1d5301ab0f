#ifndef VMKEEP_CONTROLLER_PROGRESS_OPEN_TASKS_H_
#define VMKEEP_CONTROLLER_PROGRESS_OPEN_TASKS_H_

#include "common/mutex.h"
#include "controller/domain/backup.h"
#include "controller/domain/executor_event.h"
#include "controller/progress/live_state.h"

#include <map>

namespace vmkeep::controller {

// Which task works on a backup right now, so that progress is taken from that one alone without
// asking the store. Thread-safe; lives as long as `live` at most.
class OpenTasks {
 public:
  explicit OpenTasks(LiveState& live) : live_(live) {}

  // The record as committed; called in commit order. When its task or its life ended, its live
  // state is forgotten.
  void Follow(const BackupRecord& record);

  // kYes: the backup's task is known, and the progress was taken unless it came from another one.
  enum class Known { kYes, kNo };
  Known SetProgress(const ExecutorEvent& event, const Progress& progress);

 private:
  LiveState& live_;
  Mutex mu_;
  std::map<BackupId, TaskRef> tasks_ ABSL_GUARDED_BY(mu_);
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_PROGRESS_OPEN_TASKS_H_
