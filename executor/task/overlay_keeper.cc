#include "executor/task/overlay_keeper.h"

#include "common/error.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "executor/task/merge.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace vmkeep::executor {
namespace {

constexpr absl::Duration kEvery = absl::Seconds(15);
constexpr absl::Duration kMergeFor = absl::Minutes(10);  // of one disk in one look

std::string FilesOf(const std::vector<OverlayDisk>& overlays) {
  return absl::StrJoin(
      overlays, ", ", [](std::string* out, const OverlayDisk& disk) { out->append(disk.overlay); });
}

// Until somebody removed them: see BASE_NOT_FLUSHED in hypervisor/errors.h.
bool KeptForALoss(const KnownTask& task) {
  return task.state.lost() && std::any_of(task.data.overlays.begin(), task.data.overlays.end(),
                                          [](const OverlayDisk& disk) {
                                            return access(disk.overlay.c_str(), F_OK) == 0;
                                          });
}

absl::Status BringHome(const MergeContext& context, const BackupData& data) {
  absl::Status status;
  for (const OverlayDisk& disk : data.overlays) status.Update(MergeDisk(context, disk));
  VMKEEP_RETURN_IF_ERROR(status);
  VMKEEP_RETURN_IF_ERROR(RestoreDefinition(context, data.vm, data.overlays));
  return RemoveOverlays(context, data.overlays);
}

}  // namespace

OverlayKeeper::OverlayKeeper(const Environment& env, TaskManager& tasks,
                             std::function<void()> changed)
    : env_(env), tasks_(tasks), changed_(std::move(changed)) {}

void OverlayKeeper::Run() {
  thread_ = std::jthread([this](const std::stop_token& stop) {
    do {
      Look(stop);
    } while (env_.clock.WaitFor(kEvery, stop));
  });
}

void OverlayKeeper::Look(const std::stop_token& stop) {
  const absl::StatusOr<std::vector<VmSummary>> vms = env_.hypervisor.ListVms();
  if (vms.ok() == unreachable_) {
    unreachable_ = !vms.ok();
    log::Warning(vms.ok() ? "hypervisor_answers_again" : "hypervisor_does_not_answer",
                 {{"host", env_.options.hostname}, {"error", vms.status().message()}});
  }
  if (!vms.ok()) return;
  if (const auto stranded = env_.journal.Stranded(); stranded.ok()) {
    for (const KnownTask& task : *stranded) Finish(task, stop);
  }
  for (const VmSummary& vm : *vms) {
    std::vector<OverlayDisk> unknown;
    for (const OverlayDisk& disk : vm.overlays) {
      const std::string task = OverlayTask(disk.overlay);
      if (tasks_.Lives(task)) continue;
      const auto found = env_.journal.FindByOverlay(task);
      if (found.ok() && !found->has_value()) unknown.push_back(disk);
    }
    if (!unknown.empty()) MergeUnknown(vm, unknown, stop);
  }
}

void OverlayKeeper::Finish(const KnownTask& task, const std::stop_token& stop) {
  const log::Scope scope({{"backup", task.record.backup_id}, {"host", env_.options.hostname}});
  const auto hold = tasks_.Hold(task.record.vm_uuid, "the merge of an earlier backup's overlays");
  if (hold == nullptr) return;
  const absl::Status status =
      KeptForALoss(task) ? task.state.failure
                         : BringHome({env_.hypervisor, env_.clock, kMergeFor, stop}, task.data);
  if (absl::IsDataLoss(status) && !task.state.lost()) NoteLoss(task, status);
  if (status.ok()) {
    log::Info("vm_off_overlay", {{"backup", task.record.backup_id}, {"vm", task.record.vm_uuid}});
    if (const absl::Status kept = env_.journal.ForgetOverlays(task.record.task); !kept.ok()) {
      log::Warning("journal_not_written", {{"error", kept.message()}});
    }
    changed_();
  } else if (FirstTime(absl::StrCat(task.record.task.ToString(), " ", ErrorReason(status)))) {
    log::Error("vm_on_overlay_alert",
               {{"backup", task.record.backup_id},
                {"vm", task.record.vm_uuid},
                {"files", FilesOf(task.data.overlays)},
                {"error", status.message()},
                {"remedy", "look at the VM and at these files; nothing removes them"}});
  }
}

void OverlayKeeper::NoteLoss(const KnownTask& task, const absl::Status& status) {
  TaskState state = task.state;
  state.failure = status;
  state.failed_in = StepKind::kCheck;
  if (const absl::Status saved = env_.journal.Save(task.record.task, state, {}); !saved.ok()) {
    log::Warning("journal_not_written", {{"error", saved.message()}});
  }
}

void OverlayKeeper::MergeUnknown(const VmSummary& vm, const std::vector<OverlayDisk>& overlays,
                                 const std::stop_token& stop) {
  const log::Scope scope({{"host", env_.options.hostname}});
  const auto hold = tasks_.Hold(vm.uuid, "the merge of an overlay that no journal knows");
  if (hold == nullptr) return;
  const MergeContext context{env_.hypervisor, env_.clock, kMergeFor, stop};
  absl::Status status;
  for (const OverlayDisk& disk : overlays) status.Update(MergeDisk(context, disk));
  if (status.ok()) changed_();
  // The definition of a VM that is off stays on the overlay: only a journal knows what it was.
  if (!FirstTime(FilesOf(overlays))) return;
  log::Error(
      "unknown_overlay_alert",
      {{"vm", vm.uuid},
       {"name", vm.name},
       {"files", FilesOf(overlays)},
       {"result", status.ok() ? "merged" : status.message()},
       {"remedy",
        "no journal knows this overlay: it was merged by its name and nothing was unlinked; check "
        "the VM, then remove the files"}});
}

}  // namespace vmkeep::executor
