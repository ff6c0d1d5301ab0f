#include "controller/tasks/scheduler.h"

#include "common/log.h"
#include "common/status_macros.h"

#include "absl/strings/str_cat.h"

#include <map>
#include <utility>
#include <variant>

namespace vmkeep::controller {
namespace {

// Data of a VM that is on its own disks may be missing there: it is not on the overlay, whose files
// are kept.
std::string TypeOf(const Overlay& overlay) {
  const bool kept = overlay.reason == "BASE_NOT_FLUSHED" || overlay.reason == "OVERLAY_NOT_MERGED";
  return overlay.files_only && kept ? overlay.reason : "VM_ON_OVERLAY";
}

std::string MessageOf(const VmRecord& vm, const Overlay& overlay) {
  return absl::StrCat(
      "VM ", vm.name, " on host ", vm.host_id,
      overlay.files_only ? " is on its own disks, and files of this backup's overlay are kept: "
                         : " still runs on this backup's overlay: ",
      overlay.message, overlay.message.empty() ? "" : "; ",
      overlay.remedy.empty() ? "wait until its host has merged it" : overlay.remedy);
}

// The backups whose VM is on their overlay with nobody to merge it, or whose overlay's files are
// kept. While a task lives its overlay is as it should be.
std::map<BackupId, Condition> OverlayConditions(const std::vector<VmRecord>& on_overlay) {
  std::map<BackupId, Condition> conditions;
  for (const VmRecord& vm : on_overlay) {
    const Overlay& overlay = *vm.overlay;
    if (!overlay.needs_attention || overlay.backup_id.empty()) continue;
    conditions[overlay.backup_id] = {TypeOf(overlay), MessageOf(vm, overlay), overlay.since};
  }
  return conditions;
}

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options, Recorder& recorder, LiveState& live,
                     Inventory& inventory, Dispatcher& dispatcher, std::shared_ptr<Loop> loop,
                     Clock& clock)
    : recorder_(recorder),
      live_(live),
      inventory_(inventory),
      dispatcher_(dispatcher),
      loop_(std::move(loop)),
      clock_(clock),
      core_(options) {}

absl::Status Scheduler::Start(BackupStore& store) {
  std::vector<BackupRecord> open;
  VMKEEP_RETURN_IF_ERROR(ReadAndWait(store, [&open](StoreView& view) -> absl::Status {
    VMKEEP_ASSIGN_OR_RETURN(open, view.ListOpen());
    return absl::OkStatus();
  }));
  log::Info("scheduler_started", {{"open_backups", open.size()}});
  OnCommitted(open);
  return absl::OkStatus();
}

void Scheduler::OnCommitted(const std::vector<BackupRecord>& records) {
  for (const BackupRecord& record : records) Push(scheduler_event::RecordChanged{record});
}

void Scheduler::OnInventoryChanged() {
  {
    MutexLock lock(&mu_);
    inventory_moved_ = true;
    if (std::exchange(posted_, true)) return;
  }
  loop_->Post([this] { StepHere(); });
}

HostLinkContext::Hooks Scheduler::LinkHooks() {
  return {
      .online =
          [this](const HostId& host, std::vector<KnownTask> tasks) {
            // What the link just read, before what it makes possible.
            OnInventoryChanged();
            Push(scheduler_event::HostOnline{host, std::move(tasks)});
          },
      .offline =
          [this](const HostId& host, const std::string& message) {
            Push(scheduler_event::HostOffline{host, message});
          },
      .record =
          [this](const HostId& host, const std::string& executor_id,
                 std::vector<ExecutorEvent> events,
                 std::function<void(absl::StatusOr<int64_t>)> done) {
            recorder_.ApplyEvents(host, executor_id, std::move(events), std::move(done));
          },
  };
}

void Scheduler::Drain() { Push(scheduler_event::Drain{}); }

void Scheduler::Push(SchedulerEvent event) {
  {
    MutexLock lock(&mu_);
    inbox_.push_back(std::move(event));
    if (std::exchange(posted_, true)) return;
  }
  loop_->Post([this] { StepHere(); });
}

void Scheduler::StepHere() {
  std::vector<SchedulerEvent> events;
  bool inventory_moved = false;
  {
    MutexLock lock(&mu_);
    posted_ = false;
    events = std::exchange(inbox_, {});
    inventory_moved = std::exchange(inventory_moved_, false);
  }
  if (inventory_moved) {
    scheduler_event::InventoryChanged changed{inventory_.ListAllRepositories(), {}};
    for (const HostView& host : inventory_.ListHosts()) {
      if (host.record.draining) changed.draining.insert(host.record.id);
    }
    events.emplace_back(std::move(changed));
    live_.SetVmConditions(OverlayConditions(inventory_.ListVmsOnOverlay()));
  }
  for (const SchedulerCommand& command : core_.Step(clock_.Monotonic(), events)) {
    std::visit([this](const auto& c) { Run(c); }, command);
  }
}

// Commands.

Recorder::Done Scheduler::Written(const BackupId& id) {
  return [this, id](const absl::StatusOr<std::vector<BackupRecord>>& written) {
    Push(scheduler_event::Written{id, written.status()});
  };
}

void Scheduler::Run(const scheduler_command::BeginTask& command) {
  recorder_.BeginTask(command.id, command.dispatch, Written(command.id));
}

void Scheduler::Run(const scheduler_command::StartTask& command) {
  const BackupRecord& record = command.record;
  log::Info("task_start", {{"backup", record.id},
                           {"host", record.host_id},
                           {"task", record.task_id},
                           {"epoch", record.epoch},
                           {"kind", record.task_is_scrub ? "scrub" : "backup"},
                           {"repository", record.repository}});
  dispatcher_.StartTask(record, [this, id = record.id, host = record.host_id,
                                 call = command.call](const absl::Status& status) {
    if (status.ok()) return Push(scheduler_event::StartAccepted{id, call});
    log::Warning("task_start_failed", {{"backup", id}, {"host", host}, {"why", status.message()}});
    Push(scheduler_event::StartRefused{id, call, status});
  });
}

void Scheduler::Run(const scheduler_command::CancelTask& command) {
  log::Info("task_cancel", {{"backup", command.id},
                            {"host", command.host},
                            {"task", command.task.task_id},
                            {"epoch", command.task.epoch}});
  dispatcher_.CancelTask(
      command.host, command.task,
      [this, id = command.id, call = command.call](absl::StatusOr<bool> gone) {
        Push(scheduler_event::CancelAnswered{id, call, gone.status(), gone.ok() && *gone});
      });
}

void Scheduler::Run(const scheduler_command::RejectTask& command) {
  log::Info("task_rejected", {{"backup", command.id},
                              {"host", command.host},
                              {"epoch", command.epoch},
                              {"reason", command.failure.reason},
                              {"why", command.failure.message}});
  Failure failure = command.failure;
  failure.time = clock_.Now();
  recorder_.RejectTask(command.id, command.epoch, std::move(failure), Written(command.id));
}

void Scheduler::Run(const scheduler_command::CloseWithoutTask& command) {
  recorder_.CloseWithoutTask(command.id, Written(command.id));
}

void Scheduler::Run(const scheduler_command::SetCondition& command) {
  live_.SetCondition(command.id, command.type, command.message);
}

void Scheduler::Run(const scheduler_command::ClearCondition& command) {
  live_.ClearCondition(command.id, command.type);
}

void Scheduler::Run(const scheduler_command::ArmTimer& command) {
  loop_->PostAfter(command.at - clock_.Monotonic(), [this] { Push(scheduler_event::Tick{}); });
}

}  // namespace vmkeep::controller
