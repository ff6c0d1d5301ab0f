#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_MERGE_WATCH_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_MERGE_WATCH_H_

#include "common/mutex.h"
#include "executor/hypervisor/hypervisor.h"

#include "absl/base/thread_annotations.h"

#include <map>
#include <set>
#include <string>
#include <utility>

namespace vmkeep::executor::libvirt {

// Which of the merges that we started failed: libvirt tells it once, by an event, and shows nothing
// afterwards (libvirt-facts.md, 2). And which came to their end. Thread-safe; does not block.
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
  // Whether the disk came off this overlay before our eyes, and was not on it again since.
  void SetMerged(const OverlayDisk& disk, bool merged) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    if (merged) {
      merged_.insert(disk.overlay);
    } else {
      merged_.erase(disk.overlay);
    }
  }
  bool WasMerged(const OverlayDisk& disk) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return merged_.contains(disk.overlay);
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
  std::set<std::string> merged_ ABSL_GUARDED_BY(mu_);  // by overlay
};

}  // namespace vmkeep::executor::libvirt

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_MERGE_WATCH_H_
