#ifndef VMKEEP_EXECUTOR_TASK_MERGE_H_
#define VMKEEP_EXECUTOR_TASK_MERGE_H_

#include "common/clock.h"
#include "executor/hypervisor/hypervisor.h"
#include "executor/task/merge_ladder.h"

#include "absl/status/status.h"
#include "absl/time/time.h"

#include <functional>
#include <stop_token>
#include <vector>

// The safe direction: from whatever is found to a VM on its own disks. Each function may be called
// at any time and again; it looks first. None waits for the journal or the repository.
namespace vmkeep::executor {

struct MergeContext {
  Hypervisor& hypervisor;
  Clock& clock;
  absl::Duration deadline = absl::Hours(6);  // of one disk
  std::stop_token stop;  // the executor goes down: gives up waiting, UNAVAILABLE
  // An error that did not pass by a few more tries; it is tried again all the same.
  std::function<void(const OverlayDisk&, const absl::Status&)> on_trouble = nullptr;
  LadderPolicy ladder = {};  // for a guest that outruns its merge
  // OVERLAY_SPACE when the overlays' room gets scarce: a merge that runs is helped then, also if it
  // would get home in time. Asked often; cheap.
  std::function<absl::Status()> room = nullptr;
};
using OnMergeProgress = std::function<void(const MergeStatus&)>;

// Merges one disk, live or offline, whatever the VM does meanwhile; helps a merge that its guest
// outruns, and takes the help back before it returns, also what an executor left that died.
// DEADLINE_EXCEEDED, MERGE_DEADLINE; NOT_FOUND when the VM is gone: nothing is touched then.
absl::Status MergeDisk(const MergeContext& context, const OverlayDisk& disk,
                       const OnMergeProgress& on_progress = nullptr);

// After the merges: definitions put back and proven. Merges once more what a start of the VM in
// between took back to its overlay, or wrote there. DATA_LOSS, BASE_NOT_FLUSHED, is not tried
// again: see hypervisor/errors.h.
absl::Status RestoreDefinition(const MergeContext& context, const VmDescription& before,
                               const std::vector<OverlayDisk>& disks);

absl::Status RemoveOverlays(const MergeContext& context, const std::vector<OverlayDisk>& disks);

// Thaws, with retries for as long as an agent may need to come back.
void ThawSurely(const MergeContext& context, const std::string& vm_uuid);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_MERGE_H_
