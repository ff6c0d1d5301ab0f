#include "executor/task/inventory.h"

#include "common/status_macros.h"
#include "executor/task/backup_manifest.h"

#include <sys/stat.h>

#include <algorithm>

namespace vmkeep::executor {
namespace {

using ::vmkeep::v1::Vm;

Vm::PowerState ToProto(PowerState power) {
  switch (power) {
    case PowerState::kUnknown:
      return Vm::POWER_STATE_UNSPECIFIED;
    case PowerState::kOn:
      return Vm::ON;
    case PowerState::kOff:
      return Vm::OFF;
    case PowerState::kPaused:
      return Vm::PAUSED;
  }
  return Vm::POWER_STATE_UNSPECIFIED;
}

::vmkeep::v1::Overlay OverlayOf(const Environment& env, TaskManager& tasks,
                                const std::vector<OverlayDisk>& disks) {
  ::vmkeep::v1::Overlay overlay;
  absl::Time since = absl::InfiniteFuture();
  bool lives = true;
  for (const OverlayDisk& disk : disks) {
    overlay.add_files(disk.overlay);
    struct stat found = {};
    if (stat(disk.overlay.c_str(), &found) == 0) {
      overlay.set_bytes(overlay.bytes() + found.st_size);
      since = std::min(since, absl::TimeFromTimespec(found.st_mtim));
    }
    const std::string task = OverlayTask(disk.overlay);
    lives = lives && tasks.Lives(task);
    const auto known = env.journal.FindByOverlay(task);
    if (!known.ok() || !known->has_value()) continue;
    overlay.set_backup_id((*known)->record.backup_id);
    if ((*known)->data.snapshot) since = std::min(since, (*known)->data.snapshot->instant);
  }
  if (since != absl::InfiniteFuture()) *overlay.mutable_since() = ToTimestamp(since);
  overlay.set_needs_attention(!lives);
  if (!lives) {
    overlay.set_remedy(
        "no task owns these files; the executor merges them as soon as it can: if they are still "
        "here after a minute, its log says what is in the way");
  }
  return overlay;
}

}  // namespace

absl::StatusOr<VmPage> ListVms(const Environment& env, TaskManager& tasks, int page_size,
                               const std::string& page_token) {
  VMKEEP_ASSIGN_OR_RETURN(std::vector<VmSummary> all, env.hypervisor.ListVms());
  std::sort(all.begin(), all.end(),
            [](const VmSummary& a, const VmSummary& b) { return a.uuid < b.uuid; });
  VmPage page;
  for (const VmSummary& each : all) {
    if (each.uuid <= page_token) continue;
    if (static_cast<int>(page.vms.size()) == page_size) {
      page.next_page_token = page.vms.back().uuid();
      break;
    }
    Vm vm;
    vm.set_id(each.uuid);
    vm.set_uuid(each.uuid);
    vm.set_name(each.name);
    vm.set_power_state(ToProto(each.power));
    if (!each.overlays.empty()) *vm.mutable_overlay() = OverlayOf(env, tasks, each.overlays);
    page.vms.push_back(std::move(vm));
  }
  return page;
}

}  // namespace vmkeep::executor
