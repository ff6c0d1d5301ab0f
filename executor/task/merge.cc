#include "executor/task/merge.h"

#include "common/backoff.h"
#include "common/error.h"
#include "common/log.h"
#include "executor/task/errors.h"

#include <algorithm>
#include <functional>
#include <string>

namespace vmkeep::executor {
namespace {

constexpr absl::Duration kFirstPoll = absl::Milliseconds(10);
constexpr absl::Duration kLongestPoll = absl::Milliseconds(500);
constexpr absl::Duration kFirstDelay = absl::Milliseconds(100);
constexpr absl::Duration kLongestDelay = absl::Seconds(5);
constexpr absl::Duration kThawFor = absl::Minutes(1);
// Errors that no waiting should cure are looked at again a few times: the VM's state may have
// changed between the look and the deed.
constexpr int kTries = 5;

Backoff NewBackoff(const std::string& seed) {
  return {kFirstDelay, kLongestDelay, std::hash<std::string>()(seed)};
}

// One look and one deed.
struct Progress {
  bool merged = false;
  bool moving = false;  // ask again soon
  absl::Status status;
};

Progress MergeOnce(Hypervisor& hypervisor, const OverlayDisk& disk,
                   const OnMergeProgress& on_progress) {
  const absl::StatusOr<MergeStatus> found = hypervisor.GetMergeStatus(disk);
  if (!found.ok()) return {.status = found.status()};
  if (on_progress) on_progress(*found);
  switch (found->phase) {
    case MergePhase::kMerged:
      return {.merged = true, .status = {}};
    case MergePhase::kOffline: {
      const absl::Status status = hypervisor.CommitOffline(disk);
      return {.merged = status.ok(), .status = status};
    }
    case MergePhase::kNone: {
      const absl::Status status = hypervisor.StartMerge(disk);
      return {.moving = status.ok(), .status = status};
    }
    case MergePhase::kRunning:
      return {.moving = true, .status = {}};
    case MergePhase::kReady: {
      const absl::Status status = hypervisor.Pivot(disk);
      const bool soon = ErrorReason(status) == "MERGE_NOT_READY";
      return {.merged = status.ok(), .moving = soon, .status = soon ? absl::OkStatus() : status};
    }
  }
  return {.status = absl::InternalError("a merge phase that nobody knows")};
}

// UNAVAILABLE, and for a few times anything else, may pass; not a VM that is gone, nor data.
bool MayPass(const absl::Status& status, int tries) {
  if (absl::IsNotFound(status) || absl::IsDataLoss(status)) return false;
  return error::IsPassing(status) || tries < kTries;
}

}  // namespace

absl::Status MergeDisk(const MergeContext& context, const OverlayDisk& disk,
                       const OnMergeProgress& on_progress) {
  const absl::Duration until = context.clock.Monotonic() + context.deadline;
  Backoff backoff = NewBackoff(disk.overlay);
  Backoff poll(kFirstPoll, kLongestPoll, 0);
  absl::Status last;
  for (int failures = 0;;) {
    const Progress progress = MergeOnce(context.hypervisor, disk, on_progress);
    if (progress.merged) return absl::OkStatus();
    if (!progress.status.ok()) {
      if (!MayPass(progress.status, ++failures)) return progress.status;
      if (last.code() != progress.status.code()) {
        log::Warning("merge_repeated", {{"vm", disk.vm_uuid},
                                        {"disk", disk.target},
                                        {"overlay", disk.overlay},
                                        {"error", progress.status.message()}});
      }
      last = progress.status;
    } else if (progress.moving) {
      backoff.Reset();
      last = absl::OkStatus();
    }
    if (context.clock.Monotonic() >= until) {
      return error::MergeDeadline(disk.target, context.deadline, last);
    }
    const absl::Duration delay = progress.moving ? poll.Next() : backoff.Next();
    if (!context.clock.WaitFor(delay, context.stop)) return error::ExecutorStopped();
  }
}

absl::Status RestoreDefinition(const MergeContext& context, const VmDescription& before,
                               const std::vector<OverlayDisk>& disks) {
  const absl::Duration until = context.clock.Monotonic() + context.deadline;
  Backoff backoff = NewBackoff(before.uuid);
  for (int tries = 0;;) {
    // Also before the first try: a VM that was started and stopped since its disks were merged
    // wrote to their overlays.
    for (const OverlayDisk& disk : disks) {
      if (absl::Status merged = MergeDisk(context, disk); !merged.ok()) return merged;
    }
    absl::Status status = context.hypervisor.Restore(before, disks);
    if (status.ok() || !MayPass(status, ++tries) || context.clock.Monotonic() >= until) {
      return status;
    }
    if (!context.clock.WaitFor(backoff.Next(), context.stop)) return error::ExecutorStopped();
  }
}

absl::Status RemoveOverlays(const MergeContext& context, const std::vector<OverlayDisk>& disks) {
  absl::Status first;
  for (const OverlayDisk& disk : disks) {
    absl::Status status;
    Backoff backoff = NewBackoff(disk.overlay);
    for (int tries = 0;;) {
      status = context.hypervisor.RemoveOverlay(disk);
      if (status.ok() || ++tries >= kTries || !error::IsPassing(status)) break;
      if (!context.clock.WaitFor(backoff.Next(), context.stop)) break;
    }
    first.Update(status);
  }
  return first;
}

void ThawSurely(const MergeContext& context, const std::string& vm_uuid) {
  const absl::Duration until = context.clock.Monotonic() + kThawFor;
  Backoff backoff = NewBackoff(vm_uuid);
  while (true) {
    const absl::Status status = context.hypervisor.Thaw(vm_uuid);
    if (status.ok()) return;
    if (context.clock.Monotonic() >= until) {
      log::Error("guest_may_be_frozen",
                 {{"vm", vm_uuid}, {"error", status.message()}, {"remedy", "virsh domfsthaw"}});
      return;
    }
    if (!context.clock.WaitFor(backoff.Next(), context.stop)) return;
  }
}

}  // namespace vmkeep::executor
