#include "executor/task/overlay_keeper.h"

#include "common/error.h"
#include "common/fs/files.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "executor/task/errors.h"
#include "executor/task/host_space.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include <algorithm>
#include <set>
#include <utility>

namespace vmkeep::executor {
namespace {

// A merge that is due starts within 30 s after what it needs is back: this, and the last wait of
// MergeDisk() or of the connection to the hypervisor.
constexpr absl::Duration kEvery = absl::Seconds(10);

std::string FilesOf(const std::vector<OverlayDisk>& overlays) {
  return absl::StrJoin(
      overlays, ", ", [](std::string* out, const OverlayDisk& disk) { out->append(disk.overlay); });
}

// Until somebody removed them: see BASE_NOT_FLUSHED in hypervisor/errors.h.
bool KeptForALoss(const KnownTask& task) {
  return task.state.lost() &&
         std::any_of(task.data.overlays.begin(), task.data.overlays.end(),
                     [](const OverlayDisk& disk) { return fs::GetHostInfo(disk.overlay).ok(); });
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
                             std::function<void()> changed, size_t vms_at_once)
    : env_(env), tasks_(tasks), changed_(std::move(changed)), vms_at_once_(vms_at_once) {}

OverlayKeeper::~OverlayKeeper() {
  thread_ = {};  // it starts no more
  for (auto& [vm, worker] : workers_) worker.thread.request_stop();
}

void OverlayKeeper::Run() {
  thread_ = std::jthread([this](const std::stop_token& stop) {
    do {
      Begin(stop);
    } while (env_.clock.WaitFor(kEvery, stop));
  });
}

void OverlayKeeper::Join() {
  for (auto& [vm, worker] : workers_) worker.thread.join();
  workers_.clear();
}

void OverlayKeeper::Begin(const std::stop_token& stop) {
  std::erase_if(workers_, [](const auto& each) { return each.second.done->load(); });
  const absl::StatusOr<std::vector<VmSummary>> vms = env_.hypervisor.ListVms();
  if (vms.ok() == unreachable_) {
    unreachable_ = !vms.ok();
    log::Warning(vms.ok() ? "hypervisor_answers_again" : "hypervisor_does_not_answer",
                 {{"host", env_.options.hostname}, {"error", vms.status().message()}});
  }
  if (!vms.ok()) return;
  ForgetRemoved(*vms);
  std::map<std::string, Work> work = ToDo(*vms);
  std::erase_if(begun_, [&](const auto& each) { return !work.contains(each.first); });
  std::vector<std::pair<absl::Duration, std::string>> turns;
  for (const auto& [vm, each] : work) {
    if (!workers_.contains(vm)) turns.emplace_back(begun_[vm], vm);
  }
  std::sort(turns.begin(), turns.end());
  for (const auto& [last, vm] : turns) {
    if (workers_.size() >= vms_at_once_) break;
    Launch(vm, std::move(work[vm]), stop);
  }
}

void OverlayKeeper::ForgetRemoved(const std::vector<VmSummary>& vms) {
  std::set<std::string> in_use;
  for (const VmSummary& vm : vms) {
    for (const OverlayDisk& disk : vm.overlays) in_use.insert(disk.overlay);
  }
  for (const OverlayAlert& alert : env_.alerts->All()) {
    const std::string& file = alert.disk.overlay;
    if (!alert.backup_id.empty() || in_use.contains(file)) continue;
    if (fs::GetHostInfo(file).ok()) continue;
    env_.alerts->Note({alert.disk}, {}, absl::OkStatus());
  }
}

std::map<std::string, OverlayKeeper::Work> OverlayKeeper::ToDo(const std::vector<VmSummary>& vms) {
  std::map<std::string, Work> work;
  if (auto stranded = env_.journal.Stranded(); stranded.ok()) {
    for (KnownTask& task : *stranded) {
      const std::string vm = task.record.vm_uuid;
      Work& of_vm = work[vm];
      of_vm = [this, before = std::move(of_vm),
               task = std::move(task)](const std::stop_token& stop) {
        if (before) before(stop);
        Finish(task, stop);
      };
    }
  }
  for (const VmSummary& vm : vms) {
    std::vector<OverlayDisk> unknown;
    for (const OverlayDisk& disk : vm.overlays) {
      const std::string task = OverlayTask(disk.overlay);
      if (tasks_.Lives(task)) continue;
      const auto found = env_.journal.FindByOverlay(task);
      if (found.ok() && !found->has_value()) unknown.push_back(disk);
    }
    if (unknown.empty()) continue;
    Work& of_vm = work[vm.uuid];
    of_vm = [this, before = std::move(of_vm), vm,
             unknown = std::move(unknown)](const std::stop_token& stop) {
      if (before) before(stop);
      MergeUnknown(vm, unknown, stop);
    };
  }
  return work;
}

void OverlayKeeper::Launch(const std::string& vm_uuid, Work work, const std::stop_token& stop) {
  begun_[vm_uuid] = env_.clock.Monotonic();
  auto done = std::make_shared<std::atomic<bool>>(false);
  std::jthread thread([work = std::move(work), stop, done](const std::stop_token& own) {
    std::stop_source either;
    const std::stop_callback by_own(own, [&either] { either.request_stop(); });
    const std::stop_callback by_look(stop, [&either] { either.request_stop(); });
    work(either.get_token());
    *done = true;
  });
  workers_[vm_uuid] = {std::move(done), std::move(thread)};
}

MergeContext OverlayKeeper::Merging(const OverlayAlerts::Owner& owner,
                                    const std::stop_token& stop) const {
  return {env_.hypervisor,
          env_.clock,
          env_.options.merge_deadline,
          stop,
          [this, owner](const OverlayDisk& disk, const absl::Status& status) {
            env_.alerts->Note({disk}, owner, status);
          },
          env_.options.merge_ladder};
}

void OverlayKeeper::Finish(const KnownTask& task, const std::stop_token& stop) {
  const log::Scope scope({{"backup", task.record.backup_id}, {"host", env_.options.hostname}});
  const auto hold = tasks_.Hold(task.record.vm_uuid, "the merge of an earlier backup's overlays");
  if (hold == nullptr) return;
  const OverlayAlerts::Owner owner{task.data.vm.name, task.record.backup_id};
  MergeContext merging = Merging(owner, stop);
  merging.room = RoomCheck(env_, task.data.vm.disks);
  const absl::Status status =
      KeptForALoss(task) ? task.state.failure : BringHome(merging, task.data);
  if (absl::IsDataLoss(status) && !task.state.lost()) NoteLoss(task, status);
  const bool news = env_.alerts->Note(task.data.overlays, owner, status);
  if (status.ok()) {
    log::Info("vm_off_overlay", {{"backup", task.record.backup_id}, {"vm", task.record.vm_uuid}});
    if (const absl::Status kept = env_.journal.ForgetOverlays(task.record.task); !kept.ok()) {
      log::Warning("journal_not_written", {{"error", kept.message()}});
    }
    changed_();
  } else if (news) {
    log::Error("vm_on_overlay_alert", {{"backup", task.record.backup_id},
                                       {"vm", task.record.vm_uuid},
                                       {"files", FilesOf(task.data.overlays)},
                                       {"reason", ErrorReason(status)},
                                       {"error", status.message()},
                                       {"remedy", RemedyFor(ErrorReason(status))}});
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
  const OverlayAlerts::Owner owner{vm.name, ""};
  const MergeContext context = Merging(owner, stop);
  absl::Status status;
  for (const OverlayDisk& disk : overlays) status.Update(MergeDisk(context, disk));
  if (status.ok()) changed_();
  // The definition of a VM that is off stays on the overlay: only a journal knows what it was.
  const bool news = env_.alerts->Note(
      overlays, owner, status.ok() ? error::UnknownOverlay(vm.name, FilesOf(overlays)) : status);
  if (!news) return;
  log::Error("unknown_overlay_alert", {{"vm", vm.uuid},
                                       {"name", vm.name},
                                       {"files", FilesOf(overlays)},
                                       {"result", status.ok() ? "merged" : status.message()},
                                       {"remedy", RemedyFor("UNKNOWN_OVERLAY")}});
}

}  // namespace vmkeep::executor
