#include "executor/task/inventory.h"

#include "common/fs/files.h"
#include "common/status_macros.h"
#include "executor/task/backup_manifest.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

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

using Alerts = std::vector<OverlayAlert>;

// Alerts by VM.
std::map<std::string, Alerts> AlertsOf(const Environment& env) {
  std::map<std::string, Alerts> by_vm;
  for (OverlayAlert& alert : env.alerts->All()) {
    const std::string vm = alert.disk.vm_uuid;
    by_vm[vm].push_back(std::move(alert));
  }
  return by_vm;
}

// A VM that the hypervisor does not list, and whose overlays are still there.
VmSummary MissingVm(const std::string& uuid, const Alerts& alerts) {
  VmSummary vm{uuid, alerts.front().vm_name, PowerState::kUnknown, {}};
  for (const OverlayAlert& alert : alerts) vm.overlays.push_back(alert.disk);
  return vm;
}

void Tell(const Alerts& alerts, ::vmkeep::v1::Overlay& overlay) {
  const OverlayAlert& first = alerts.front();
  overlay.set_needs_attention(true);
  overlay.set_reason(first.reason);
  overlay.set_message(first.message);
  overlay.set_remedy(RemedyFor(first.reason));
}

::vmkeep::v1::Overlay OverlayOf(const Environment& env, TaskManager& tasks,
                                const std::vector<OverlayDisk>& on, const Alerts& alerts) {
  ::vmkeep::v1::Overlay overlay;
  std::vector<OverlayDisk> disks = on;
  for (const OverlayAlert& alert : alerts) {
    const bool known = std::any_of(on.begin(), on.end(), [&](const OverlayDisk& disk) {
      return disk.overlay == alert.disk.overlay;
    });
    if (!known) disks.push_back(alert.disk);
  }
  overlay.set_files_only(on.empty());
  absl::Time since = absl::InfiniteFuture();
  bool lives = true;
  for (const OverlayDisk& disk : disks) {
    overlay.add_files(disk.overlay);
    if (const auto found = fs::GetHostInfo(disk.overlay); found.ok()) {
      overlay.set_bytes(overlay.bytes() + found->stored_bytes);
      since = std::min(since, found->modified);
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
  if (!alerts.empty()) Tell(alerts, overlay);
  return overlay;
}

}  // namespace

absl::StatusOr<VmPage> ListVms(const Environment& env, TaskManager& tasks, int page_size,
                               const std::string& page_token) {
  VMKEEP_ASSIGN_OR_RETURN(std::vector<VmSummary> all, env.hypervisor.ListVms());
  std::map<std::string, Alerts> alerts = AlertsOf(env);
  std::set<std::string> listed;
  for (const VmSummary& vm : all) listed.insert(vm.uuid);
  for (const auto& [uuid, of_vm] : alerts) {
    if (!listed.contains(uuid)) all.push_back(MissingVm(uuid, of_vm));
  }
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
    const Alerts& of_vm = alerts[each.uuid];
    if (!each.overlays.empty() || !of_vm.empty()) {
      *vm.mutable_overlay() = OverlayOf(env, tasks, each.overlays, of_vm);
    }
    page.vms.push_back(std::move(vm));
  }
  return page;
}

}  // namespace vmkeep::executor
