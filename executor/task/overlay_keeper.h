#ifndef VMKEEP_EXECUTOR_TASK_OVERLAY_KEEPER_H_
#define VMKEEP_EXECUTOR_TASK_OVERLAY_KEEPER_H_

#include "executor/task/environment.h"
#include "executor/task/task_manager.h"

#include "absl/time/time.h"

#include <functional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace vmkeep::executor {

// Brings VMs home from overlays that no task owns any more: what an ended task could not merge, and
// what no journal knows. The journal of a task lets it finish the work (definition, overlay file);
// without one the disk is merged by the overlay's name and nothing is unlinked. Looks at the start
// and every few seconds; a hypervisor that does not answer is asked again.
class OverlayKeeper {
 public:
  // `changed` is called when a VM came off its overlays.
  OverlayKeeper(const Environment& env, TaskManager& tasks, std::function<void()> changed);
  ~OverlayKeeper() = default;  // waits for the merge under way to give up

  // One look; the thread's body. For tests.
  void Look(const std::stop_token& stop);

  void Run();  // starts the thread

 private:
  void Finish(const KnownTask& task, const std::stop_token& stop);
  void NoteLoss(const KnownTask& task, const absl::Status& status);
  void MergeUnknown(const VmSummary& vm, const std::vector<OverlayDisk>& overlays,
                    const std::stop_token& stop);
  bool FirstTime(const std::string& what) { return said_.insert(what).second; }

  const Environment& env_;
  TaskManager& tasks_;
  const std::function<void()> changed_;
  std::set<std::string> said_;  // alerts, each once
  bool unreachable_ = false;
  std::jthread thread_;
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_OVERLAY_KEEPER_H_
