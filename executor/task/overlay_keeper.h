#ifndef VMKEEP_EXECUTOR_TASK_OVERLAY_KEEPER_H_
#define VMKEEP_EXECUTOR_TASK_OVERLAY_KEEPER_H_

#include "executor/task/environment.h"
#include "executor/task/merge.h"
#include "executor/task/task_manager.h"

#include "absl/time/time.h"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace vmkeep::executor {

// Brings VMs home from overlays that no task owns any more: what an ended task could not merge, and
// what no journal knows. The journal of a task lets it finish the work (definition, overlay file);
// without one the disk is merged by the overlay's name and nothing is unlinked. Looks at the start
// and every few seconds; a hypervisor that does not answer is asked again. What cannot be done is
// an alert (overlay_alerts.h) until it is.
//
// Each VM has a thread of its own while it is worked on: a merge that takes hours holds up no
// other.
class OverlayKeeper {
 public:
  // So many VMs at once; the others wait, the one that waits longest first.
  static constexpr size_t kVmsAtOnce = 256;

  // `changed` is called when a VM came off its overlays, from any thread.
  OverlayKeeper(const Environment& env, TaskManager& tasks, std::function<void()> changed,
                size_t vms_at_once = kVmsAtOnce);
  ~OverlayKeeper();  // waits for the merges under way to give up waiting

  // Looks, and sets to work on each VM that is to come home and is not worked on yet. Waits for
  // the hypervisor's answer only. For one thread.
  void Begin(const std::stop_token& stop);
  // Waits until nobody works any more.
  void Join();
  // One look, and all the work that it calls for. For tests.
  void Look(const std::stop_token& stop) {
    Begin(stop);
    Join();
  }

  void Run();  // starts the thread that looks

 private:
  using Work = std::function<void(const std::stop_token&)>;
  struct Worker {
    std::shared_ptr<std::atomic<bool>> done;
    std::jthread thread;
  };

  // Of overlays that no journal knows: a person removed them.
  void ForgetRemoved(const std::vector<VmSummary>& vms);
  // By VM.
  std::map<std::string, Work> ToDo(const std::vector<VmSummary>& vms);
  void Launch(const std::string& vm_uuid, Work work, const std::stop_token& stop);
  void Finish(const KnownTask& task, const std::stop_token& stop);
  void NoteLoss(const KnownTask& task, const absl::Status& status);
  void MergeUnknown(const VmSummary& vm, const std::vector<OverlayDisk>& overlays,
                    const std::stop_token& stop);
  MergeContext Merging(const OverlayAlerts::Owner& owner, const std::stop_token& stop) const;

  const Environment& env_;
  TaskManager& tasks_;
  const std::function<void()> changed_;
  const size_t vms_at_once_;
  bool unreachable_ = false;
  std::map<std::string, absl::Duration> begun_;  // by VM that is not home, when last
  std::map<std::string, Worker> workers_;        // by VM
  std::jthread thread_;                          // last: it uses the rest
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_OVERLAY_KEEPER_H_
