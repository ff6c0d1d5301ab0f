#include "tests/simulation/executor_model.h"

#include "common/status_macros.h"
#include "executor/hypervisor/errors.h"
#include "executor/task/errors.h"
#include "executor/task/merge.h"
#include "tests/simulation/task_driver.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <utility>

namespace vmkeep::sim {

using executor::OverlayDisk;
using executor::TaskEvent;

namespace {

constexpr absl::Duration kKeepEvery = absl::Seconds(15);  // of overlay_keeper.cc
constexpr absl::Duration kMergeFor = absl::Minutes(10);   // the same
constexpr absl::Duration kProbeEvery = absl::Minutes(1);  // of repositories.cc
constexpr absl::Duration kProbeFor = absl::Seconds(30);   // of environment.h
constexpr absl::Duration kRemoveFor = absl::Minutes(10);  // the same

}  // namespace

absl::Status RemoveTry(ExecutorModel& process, Nas& nas, const executor::TaskRecord& record) {
  Base& base = process.env().base;
  process.Boundary("before a discard");
  return OnNas(
      base, nas, false, {kRemoveFor}, [] { return false; },
      [&] {
        if (base.mutant == Mutant::kDiscardDoesNothing) return absl::OkStatus();
        if (base.mutant == Mutant::kRemovesWhatIsForeign) nas.incoming.clear();
        if (nas.incoming.erase(record.task.ToString()) > 0) {
          base.trace.Add(nas.id, absl::StrCat("discarded ", record.task.ToString()));
        }
        const auto published = nas.published.find(record.backup_id);
        if (published != nas.published.end() && published->second.task == record.task.ToString()) {
          process.env().acts("take back", record);
          nas.published.erase(published);
          base.trace.Add(nas.id, absl::StrCat("took back ", record.task.ToString()));
        }
        return absl::OkStatus();
      });
}

ExecutorModel::ExecutorModel(ExecutorEnv env) : env_(std::move(env)) {
  for (executor::KnownTask& task : env_.journal.Unfinished()) {
    busy_[task.record.vm_uuid] = task.record.task.ToString();
    Launch(std::move(task),
           {TaskEvent::Kind::kRestarted, executor::error::ExecutorRestarted(), {}});
  }
  fibers_.push_back(std::make_unique<Fiber>(env_.base.time, [this] { Keep(); }));
  for (const auto& [slot, nas] : env_.repositories) {
    fibers_.push_back(
        std::make_unique<Fiber>(env_.base.time, [this, slot = slot] { ProbeLoop(slot); }));
  }
}

ExecutorModel::~ExecutorModel() { dead_ = true; }

void ExecutorModel::Boundary(const std::string& where) {
  if (!dead_ && env_.dies(where)) {
    dead_ = true;
    env_.died();
  }
  if (dead_) throw Killed();
}

std::optional<executor::StepKind> ExecutorModel::RunningStep(const std::string& task_id) const {
  for (const auto& [id, task] : tasks_) {
    const int running = task->state().running();
    if (id.id == task_id && !task->ended() && running >= 0)
      return task->state().steps[running].kind;
  }
  return std::nullopt;
}

bool ExecutorModel::Lives(const std::string& task_id) const {
  const auto found = tasks_.lower_bound({task_id, 0});
  return found != tasks_.end() && found->first.id == task_id && !found->second->ended();
}

// The service, as executor/service and task_manager.

absl::StatusOr<bool> ExecutorModel::StartTask(const controller::BackupRecord& record) {
  executor::TaskRecord task;
  task.task = {record.task_id, record.epoch};
  task.kind = record.task_is_scrub ? executor::TaskKind::kScrub : executor::TaskKind::kBackup;
  task.backup_id = record.id;
  task.vm_uuid = record.vm_uuid;
  task.slot = record.repository;
  task.repository_id = record.repository_id;
  task.accept_time = env_.base.time.wall();
  if (!env_.repositories.contains(task.slot)) {
    return executor::error::RepositoryNotConfigured(task.slot);
  }
  VMKEEP_ASSIGN_OR_RETURN(const bool known, env_.journal.Known(task.task, task.backup_id));
  if (known) return true;
  if (busy_.contains(task.vm_uuid)) {
    return executor::error::VmBusy(task.vm_uuid, busy_[task.vm_uuid]);
  }
  const executor::TaskState state = executor::NewTask(task.kind);
  Boundary("before a task is accepted");
  VMKEEP_ASSIGN_OR_RETURN(const bool before, env_.journal.Accept(task, state));
  if (before) return true;
  busy_[task.vm_uuid] = task.task.ToString();
  Boundary("after a task was accepted");
  Launch({task, state, {}}, {TaskEvent::Kind::kStart, {}, {}});
  return false;
}

absl::StatusOr<bool> ExecutorModel::CancelTask(const controller::TaskRef& task) {
  const executor::TaskId id{task.task_id, task.epoch};
  const auto found = tasks_.find(id);
  if (found == tasks_.end()) return env_.journal.RefuseUnlessUnfinished(id);
  found->second->Cancel();
  return true;
}

std::vector<controller::KnownTask> ExecutorModel::ListTasks() const {
  std::vector<controller::KnownTask> known;
  for (const JournalModel::Task& task : env_.journal.tasks()) {
    if (task.acknowledged) continue;
    const executor::TaskRecord& record = task.known.record;
    known.push_back(
        {{record.task.id, record.task.epoch}, record.backup_id, task.known.state.ended});
  }
  return known;
}

absl::StatusOr<controller::HostInventory> ExecutorModel::GetInventory() {
  VMKEEP_ASSIGN_OR_RETURN(const std::vector<executor::VmSummary> vms, env_.host.ListVms());
  controller::HostInventory inventory;
  for (const executor::VmSummary& vm : vms) {
    controller::VmRecord record{vm.uuid,
                                vm.name,
                                env_.host.id,
                                vm.power == executor::PowerState::kOn
                                    ? controller::PowerState::kOn
                                    : controller::PowerState::kOff,
                                {}};
    for (const OverlayDisk& disk : vm.overlays) {
      if (!record.overlay) record.overlay.emplace();
      record.overlay->files.push_back(disk.overlay);
      const std::string task_id = executor::OverlayTask(disk.overlay);
      if (!Lives(task_id)) record.overlay->needs_attention = true;
      for (const JournalModel::Task& task : env_.journal.tasks()) {
        if (task.known.record.task.id == task_id) {
          record.overlay->backup_id = task.known.record.backup_id;
        }
      }
    }
    inventory.vms.push_back(std::move(record));
  }
  for (const auto& [slot, repository] : seen_) inventory.repositories.push_back(repository);
  return inventory;
}

absl::StatusOr<bool> ExecutorModel::AckEvents(int64_t sequence) {
  if (sequence < 0 || sequence > env_.journal.last_sequence()) {
    return executor::error::SequenceUnknown(sequence, env_.journal.last_sequence());
  }
  VMKEEP_RETURN_IF_ERROR(env_.journal.Acknowledge(sequence));
  return true;
}

void ExecutorModel::Launch(executor::KnownTask task, const TaskEvent& first) {
  const executor::TaskRecord record = task.record;
  const auto driver = std::make_shared<TaskDriver>(*this, std::move(task));
  tasks_[record.task] = driver;
  fibers_.push_back(std::make_unique<Fiber>(env_.base.time, [this, driver, record, first] {
    driver->Execute(first);
    tasks_.erase(record.task);
    busy_.erase(record.vm_uuid);
  }));
}

// The overlay keeper.

void ExecutorModel::Keep() {
  while (true) {
    if (env_.base.mutant != Mutant::kNeverMerges) KeepOnce();
    Fiber::Pause(kKeepEvery);
  }
}

void ExecutorModel::KeepOnce() {
  const auto vms = env_.host.ListVms();
  if (!vms.ok()) return;
  for (const executor::KnownTask& task : env_.journal.Stranded()) Finish(task);
  for (const executor::VmSummary& vm : *vms) {
    std::vector<OverlayDisk> unknown;
    for (const OverlayDisk& disk : vm.overlays) {
      const std::string task = executor::OverlayTask(disk.overlay);
      if (!Lives(task) && !env_.journal.NamesOverlay(task)) unknown.push_back(disk);
    }
    if (!unknown.empty()) MergeUnknown(vm, unknown);
  }
}

void ExecutorModel::Finish(const executor::KnownTask& task) {
  const std::string vm = task.record.vm_uuid;
  if (!busy_.emplace(vm, "the keeper").second) return;
  const executor::MergeContext context{env_.host, env_.base.clock, kMergeFor, {}};
  absl::Status status;
  for (const OverlayDisk& disk : task.data.overlays) status.Update(MergeDisk(context, disk));
  Boundary("in the keeper");
  if (status.ok()) status = RestoreDefinition(context, task.data.vm, task.data.overlays);
  if (status.ok()) status = RemoveOverlays(context, task.data.overlays);
  env_.base.trace.Add(env_.host.id, absl::StrCat("keeper: ", task.record.task.ToString(), " ",
                                                 status.ok() ? "home" : status.message()));
  if (status.ok()) (void)env_.journal.ForgetOverlays(task.record.task);
  busy_.erase(vm);
  env_.told();
}

void ExecutorModel::MergeUnknown(const executor::VmSummary& vm,
                                 const std::vector<OverlayDisk>& disks) {
  if (!busy_.emplace(vm.uuid, "the keeper").second) return;
  const executor::MergeContext context{env_.host, env_.base.clock, kMergeFor, {}};
  for (const OverlayDisk& disk : disks) (void)MergeDisk(context, disk);
  busy_.erase(vm.uuid);
  env_.told();
}

// The repositories.

void ExecutorModel::ProbeLoop(int slot) {
  while (true) {
    Probe(slot, *env_.repositories.at(slot));
    Fiber::Pause(kProbeEvery);
  }
}

void ExecutorModel::Probe(int slot, Nas& nas) {
  const absl::Status status = OnNas(
      env_.base, nas, false, {kProbeFor}, [] { return false; }, [] { return absl::OkStatus(); });
  controller::RepositoryRecord seen;
  seen.id = status.ok() ? nas.id : "";
  seen.slot = slot;
  seen.path = absl::StrCat("/repository/", slot);
  seen.total_bytes = status.ok() ? 1000 : 0;
  seen.free_bytes = status.ok() ? nas.free_bytes() : 0;
  seen.health = status.ok() ? controller::Health::kHealthy
                : nas.gone  ? controller::Health::kUninitialized
                            : controller::Health::kIll;
  seen.message = std::string(status.message());
  seen_[slot] = std::move(seen);
  env_.told();
  if (!status.ok()) return;
  for (const executor::TaskRecord& left : env_.journal.Leftovers()) {
    if (left.slot != slot || left.repository_id != nas.id) continue;
    if (!RemoveTry(*this, nas, left).ok()) return;
    if (!env_.journal.ForgetFiles(left.task).ok()) return;
  }
}

}  // namespace vmkeep::sim
