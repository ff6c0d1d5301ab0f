#ifndef VMKEEP_EXECUTOR_TASK_OVERLAY_ALERTS_H_
#define VMKEEP_EXECUTOR_TASK_OVERLAY_ALERTS_H_

#include "common/mutex.h"
#include "executor/hypervisor/hypervisor.h"

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace vmkeep::executor {

// Why one overlay file is still there, for a person.
struct OverlayAlert {
  OverlayDisk disk;
  std::string vm_name;
  std::string backup_id;  // empty when no journal names the overlay
  std::string reason;     // of the error, such as MERGE_FAILED
  std::string message;    // one sentence
};

// What a person does about it, in words.
std::string RemedyFor(absl::string_view reason);

// Overlays that could not be merged or removed when it was last tried. In memory only: whoever
// looks after a restart raises them again. Thread-safe.
class OverlayAlerts {
 public:
  // Called after each change, outside of the lock. Set once, before use; must not block.
  void OnChange(std::function<void()> changed) { changed_ = std::move(changed); }

  // How it went with these overlays of one VM: OK clears what was raised of them. An executor that
  // goes down (EXECUTOR_STOPPED) is no news of a VM. True when it is news: the first of a file, or
  // another reason than before.
  struct Owner {
    std::string vm_name;
    std::string backup_id;
  };
  bool Note(const std::vector<OverlayDisk>& disks, const Owner& owner, const absl::Status& status)
      ABSL_LOCKS_EXCLUDED(mu_);
  // By file.
  std::vector<OverlayAlert> All() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  bool Raise(const OverlayAlert& alert) ABSL_LOCKS_EXCLUDED(mu_);
  bool Clear(const std::string& overlay) ABSL_LOCKS_EXCLUDED(mu_);

  std::function<void()> changed_;
  Mutex mu_;
  std::map<std::string, OverlayAlert> alerts_ ABSL_GUARDED_BY(mu_);  // by overlay file
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_OVERLAY_ALERTS_H_
