#include "executor/task/merge.h"

#include "common/backoff.h"
#include "common/error.h"
#include "common/log.h"
#include "executor/task/errors.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <string>

namespace vmkeep::executor {
namespace {

constexpr absl::Duration kFirstPoll = absl::Milliseconds(10);
constexpr absl::Duration kLongestPoll = absl::Milliseconds(500);
constexpr absl::Duration kFirstDelay = absl::Milliseconds(100);
constexpr absl::Duration kLongestDelay = absl::Seconds(5);
// Of a hypervisor that answers: a merge that is due starts within 30 s of its return.
constexpr absl::Duration kThawFor = absl::Seconds(20);
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
  std::optional<MergeStatus> running = std::nullopt;
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
      return {.moving = true, .status = {}, .running = *found};
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

// A merge that runs: looks whether its guest outruns it, and does what is next about that.
void Watch(const MergeContext& context, const OverlayDisk& disk, const MergeStatus& status,
           absl::Duration until, LadderState& ladder) {
  const absl::Duration now = context.clock.Monotonic();
  const MergeSample sample{now, status.bytes_done, status.bytes_total};
  const absl::Status room = context.room ? context.room() : absl::OkStatus();
  const bool scarce = absl::IsResourceExhausted(room);
  if (scarce && context.on_trouble) context.on_trouble(disk, room);
  const LadderState next =
      Climb(ladder, sample, scarce ? absl::ZeroDuration() : until - now, context.ladder);
  const bool other = next.rung != ladder.rung;
  const bool act = next.help != ladder.help;
  ladder = next;
  if (!other) return;
  // What could not be done did not help: the next rung comes after the next window.
  const absl::Status done =
      act ? context.hypervisor.HelpMerge(disk, ladder.help) : absl::OkStatus();
  log::Warning("merge_outrun", {{"vm", disk.vm_uuid},
                                {"disk", disk.target},
                                {"left_bytes", sample.left()},
                                {"full_speed", ladder.help.full_speed},
                                {"write_limit", ladder.help.write_bytes_per_second},
                                {"suspended", ladder.help.suspended},
                                {"error", done.message()}});
  if (ladder.rung == Rung::kRest && context.on_trouble) {
    context.on_trouble(disk, error::MergeOutrun(disk.target, sample.left()));
  }
}

absl::Status MergeUntil(absl::Duration until, const MergeContext& context, const OverlayDisk& disk,
                        const OnMergeProgress& on_progress) {
  Backoff backoff = NewBackoff(disk.overlay);
  Backoff poll(kFirstPoll, kLongestPoll, 0);
  LadderState ladder;
  absl::Status last;
  for (int failures = 0;;) {
    const Progress progress = MergeOnce(context.hypervisor, disk, on_progress);
    if (progress.merged) return absl::OkStatus();
    if (progress.running) {
      Watch(context, disk, *progress.running, until, ladder);
    } else if (progress.status.ok()) {
      ladder = {};  // a new job, perhaps of a VM that was started anew: what was done is gone
    }
    if (!progress.status.ok()) {
      if (!MayPass(progress.status, ++failures)) return progress.status;
      if (last.code() != progress.status.code()) {
        log::Warning("merge_repeated", {{"vm", disk.vm_uuid},
                                        {"disk", disk.target},
                                        {"overlay", disk.overlay},
                                        {"error", progress.status.message()}});
      }
      if (failures >= kTries && context.on_trouble) context.on_trouble(disk, progress.status);
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

// Whatever came of the merge, and whoever helped it: the guest is as free as before.
absl::Status TakeHelpBack(absl::Duration until, const MergeContext& context,
                          const OverlayDisk& disk) {
  Backoff backoff = NewBackoff(disk.overlay);
  for (int tries = 0;;) {
    absl::Status status = context.hypervisor.HelpMerge(disk, {});
    if (status.ok()) return status;
    if (!MayPass(status, ++tries) || context.clock.Monotonic() >= until) {
      log::Error("guest_may_be_limited",
                 {{"vm", disk.vm_uuid},
                  {"disk", disk.target},
                  {"error", status.message()},
                  {"remedy", "look with `virsh blkdeviotune` and `virsh domstate`"}});
      return absl::OkStatus();
    }
    if (!context.clock.WaitFor(backoff.Next(), context.stop)) return error::ExecutorStopped();
  }
}

}  // namespace

absl::Status MergeDisk(const MergeContext& context, const OverlayDisk& disk,
                       const OnMergeProgress& on_progress) {
  const absl::Duration until = context.clock.Monotonic() + context.deadline;
  const absl::Status merged = MergeUntil(until, context, disk, on_progress);
  const absl::Status free = TakeHelpBack(until, context, disk);
  return merged.ok() ? free : merged;
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
  absl::Duration until = context.clock.Monotonic() + kThawFor;
  Backoff backoff = NewBackoff(vm_uuid);
  while (true) {
    const absl::Status status = context.hypervisor.Thaw(vm_uuid);
    if (status.ok()) return;
    // A merge could not start either, and the guest must not stay frozen for want of a libvirtd.
    if (ErrorReason(status) == "HYPERVISOR_UNAVAILABLE") {
      until = context.clock.Monotonic() + kThawFor;
    }
    if (context.clock.Monotonic() >= until) {
      log::Error("guest_may_be_frozen",
                 {{"vm", vm_uuid}, {"error", status.message()}, {"remedy", "virsh domfsthaw"}});
      return;
    }
    if (!context.clock.WaitFor(backoff.Next(), context.stop)) return;
  }
}

}  // namespace vmkeep::executor
