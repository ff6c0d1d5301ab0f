#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_MERGE_WATCH_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_MERGE_WATCH_H_

#include "common/mutex.h"
#include "executor/hypervisor/hypervisor.h"

#include "absl/base/thread_annotations.h"

#include <map>
#include <string>
#include <utility>

namespace vmkeep::executor::libvirt {

// Which of the merges that we started failed: libvirt tells it once, by an event, and shows nothing
// afterwards (libvirt-facts.md, 2). Thread-safe; does not block.
class MergeWatch {
 public:
  // Before the merge is started, so that its event finds it.
  void Begin(const OverlayDisk& disk) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    failed_[{disk.vm_uuid, disk.target}] = false;
  }
  void End(const OverlayDisk& disk) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    failed_.erase({disk.vm_uuid, disk.target});
  }
  // Only of merges that Begin() named: others are somebody else's.
  void SetFailed(const std::string& vm_uuid, const std::string& target) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    const auto found = failed_.find({vm_uuid, target});
    if (found != failed_.end()) found->second = true;
  }
  // True once for each failure.
  bool TakeFailure(const OverlayDisk& disk) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    const auto found = failed_.find({disk.vm_uuid, disk.target});
    return found != failed_.end() && std::exchange(found->second, false);
  }

 private:
  Mutex mu_;
  std::map<std::pair<std::string, std::string>, bool> failed_ ABSL_GUARDED_BY(mu_);
};

}  // namespace vmkeep::executor::libvirt

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_MERGE_WATCH_H_
