#include "tests/simulation/task_driver.h"

#include "common/backoff.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "executor/task/errors.h"
#include "executor/worker/errors.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include <algorithm>
#include <utility>

namespace vmkeep::sim {

using executor::Command;
using executor::StepKind;
using executor::TaskEvent;

namespace {

// Stands for IdentityOf(): another content is another time of change.
std::string IdentityOf(const DiskModel& disk) { return absl::StrJoin(disk.base, " "); }

}  // namespace

TaskDriver::TaskDriver(ExecutorModel& process, executor::KnownTask task)
    : process_(process), env_(process.env()), task_(std::move(task)) {
  const int running = state().running();
  if (running >= 0 && state().steps[running].kind == StepKind::kCopy)
    interrupted_copy_ = state().steps[running].target;
}

void TaskDriver::Execute(const TaskEvent& first) {
  std::optional<TaskEvent> event = first;
  while (event) event = CarryOut(Apply(*event));
}

// Like TaskRun::Cancel(), in the caller's thread: asks the step under way to end.
void TaskDriver::Cancel() {
  for (const Command& command : Apply({TaskEvent::Kind::kCancelRequested, {}, {}})) {
    if (command.kind == Command::Kind::kCancelRunningStep) stop_step_ = true;
  }
}

std::vector<Command> TaskDriver::Apply(const TaskEvent& event) {
  executor::Transition transition = Advance(task_.state, event);
  task_.state = std::move(transition.next);
  for (const Command& command : transition.commands) {
    if (command.kind == Command::Kind::kRunStep) stop_step_ = false;
  }
  return std::move(transition.commands);
}

std::optional<TaskEvent> TaskDriver::CarryOut(const std::vector<Command>& commands) {
  absl::Status saved;
  for (const Command& command : commands) {
    process_.Boundary("before a command");
    switch (command.kind) {
      case Command::Kind::kThaw:
        ThawSurely(Merging(), record().vm_uuid);
        break;
      case Command::Kind::kEmitStepDone: {
        const executor::Step& step = state().steps[command.step];
        controller::StepDone done{std::string(RuleOf(step.kind).name), step.target, {}};
        if (step.kind == StepKind::kSnapshot && task_.data.snapshot) {
          done.time_valid = task_.data.snapshot->instant;
        }
        unsaved_.push_back(NewEvent());
        unsaved_.back().body = std::move(done);
        break;
      }
      case Command::Kind::kJournalIntent:
        saved = Save();
        break;
      case Command::Kind::kRunStep:
        if (RuleOf(state().steps[command.step].kind).needs_journal && !saved.ok()) {
          return TaskEvent{TaskEvent::Kind::kStepFailed, saved, {}};
        }
        return RunStep(command.step);
      case Command::Kind::kCancelRunningStep:
        stop_step_ = true;
        break;
      case Command::Kind::kEnd:
        End(command.ending);
        break;
    }
  }
  return std::nullopt;
}

absl::Status TaskDriver::Save() {
  Fiber::Pause(env_.base.random.Between(absl::Microseconds(100), absl::Milliseconds(10)));
  process_.Boundary("before the journal");
  const absl::Status status = env_.journal.Save(record().task, state(), unsaved_);
  if (status.ok()) unsaved_.clear();
  env_.told();
  process_.Boundary("after the journal");
  return status;
}

void TaskDriver::End(const executor::Ending& ending) {
  unsaved_.push_back(NewEvent());
  unsaved_.back().body = Ended(ending);
  Backoff backoff(absl::Milliseconds(200), absl::Seconds(10), 0);
  process_.Boundary("before the end");
  while (!env_.journal.End(record().task, state(), ending, unsaved_).ok()) {
    Fiber::Pause(backoff.Next());
  }
  process_.Boundary("after the end");
  env_.told();
  ended_ = true;
}

TaskEvent TaskDriver::RunStep(int index) {
  const executor::Step step = state().steps[index];
  const std::string name = absl::StrCat(RuleOf(step.kind).name, " ", step.target);
  env_.base.trace.Add(env_.host.id, absl::StrCat(record().task.ToString(), " begins ", name));
  const absl::Status status = Run(step);
  env_.base.trace.Add(env_.host.id, absl::StrCat(record().task.ToString(), " ends ", name, " ",
                                                 status.ok() ? "OK" : status.message()));
  process_.Boundary(absl::StrCat("after ", name));
  if (!status.ok()) return {TaskEvent::Kind::kStepFailed, status, {}};
  std::vector<std::string> targets;
  targets.reserve(task_.data.vm.disks.size());
  for (const executor::Disk& disk : task_.data.vm.disks) targets.push_back(disk.target);
  return {TaskEvent::Kind::kStepSucceeded, {}, targets};
}

absl::Status TaskDriver::Run(const executor::Step& step) {
  switch (step.kind) {
    case StepKind::kPreflight:
      return Preflight();
    case StepKind::kSnapshot:
      return Snapshot();
    case StepKind::kCopy:
      return Copy(step.target);
    case StepKind::kMerge:
      return Merge(step.target);
    case StepKind::kCheck:
      if (env_.base.mutant == Mutant::kNeverMerges) return absl::InternalError("never");
      return RestoreDefinition(Merging(), task_.data.vm, task_.data.overlays);
    case StepKind::kRemoveOverlay:
      return RemoveOverlays(Merging(), task_.data.overlays);
    case StepKind::kExport:  // its hosts have overlays
    case StepKind::kEndExport:
    case StepKind::kSeal:
      break;
    case StepKind::kPublish:
      return Publish();
    case StepKind::kDiscard:
      return DiscardTry(record());
    case StepKind::kScrub:
      return Scrub();
  }
  return absl::InternalError("a step that the simulation does not know");
}

absl::Status TaskDriver::Preflight() {
  Fiber::Pause(env_.base.random.Between(absl::Milliseconds(5), absl::Seconds(1)));
  executor::BackupData data;
  VMKEEP_ASSIGN_OR_RETURN(data.vm, env_.host.Describe(record().vm_uuid));
  for (const executor::Disk& disk : data.vm.disks) {
    data.overlays.push_back({record().vm_uuid, disk.target, disk.source, disk.format,
                             executor::OverlayPath(disk.source, record().task.id)});
  }
  Nas& nas = *Repository(record());
  VMKEEP_RETURN_IF_ERROR(OnNas(
      env_.base, nas, true, {absl::Seconds(30)}, [this] { return stop_step_; },
      [] { return absl::OkStatus(); }));
  process_.Boundary("before the preflight is kept");
  VMKEEP_RETURN_IF_ERROR(env_.journal.PutData(record().task, data));
  task_.data = std::move(data);
  return absl::OkStatus();
}

absl::Status TaskDriver::Snapshot() {
  executor::SnapshotPlan plan;
  plan.vm_uuid = record().vm_uuid;
  plan.disks = task_.data.overlays;
  Fiber::Pause(env_.base.random.Between(absl::Milliseconds(10), absl::Milliseconds(300)));
  process_.Boundary("before the snapshot");
  VMKEEP_ASSIGN_OR_RETURN(task_.data.snapshot, env_.host.Snapshot(plan));
  process_.Boundary("after the snapshot, before the journal");
  return env_.journal.PutData(record().task, task_.data);
}

// As executor/task/resume: a copy goes on in the same boot, from the same disk, within its time,
// where the repository answers.
absl::Status TaskDriver::BeginCopy(const std::string& target) {
  std::string base;
  for (const DiskModel& disk : env_.host.vms.at(record().vm_uuid).disks) {
    if (disk.target == target) base = IdentityOf(disk);
  }
  executor::CopyBegin begin{base, absl::StrCat(env_.host.boot),
                            env_.base.clock.Monotonic() + absl::Hours(24)};
  if (target != interrupted_copy_) {
    executor::BackupData data = task_.data;
    data.copies_begun[target] = std::move(begin);
    VMKEEP_RETURN_IF_ERROR(env_.journal.PutData(record().task, data));
    task_.data = std::move(data);
    return absl::OkStatus();
  }
  const auto begun = task_.data.copies_begun.find(target);
  if (begun == task_.data.copies_begun.end() || begun->second.boot_id != begin.boot_id ||
      begun->second.base != begin.base || begun->second.until <= env_.base.clock.Monotonic()) {
    return executor::error::CopyNotResumed(absl::UnavailableError("not as it was"));
  }
  const absl::Status probe = OnNas(
      env_.base, *Repository(record()), true, {absl::Seconds(30)}, [this] { return stop_step_; },
      [] { return absl::OkStatus(); });
  return probe.ok() || absl::IsCancelled(probe) ? probe : executor::error::CopyNotResumed(probe);
}

absl::Status TaskDriver::Copy(const std::string& target) {
  VMKEEP_RETURN_IF_ERROR(BeginCopy(target));
  Nas& nas = *Repository(record());
  const std::string incoming = record().task.ToString();
  const auto left = nas.incoming.find(incoming);
  const bool resume = target == interrupted_copy_ && left != nas.incoming.end();
  const int kept = resume ? left->second.copied[target] : 0;
  for (int block = kept; block < kBlocks; ++block) {
    Fiber::Pause(env_.base.random.Between(absl::Milliseconds(200), absl::Seconds(8)));
    process_.Boundary("in a copy");
    VMKEEP_RETURN_IF_ERROR(OnNas(
        env_.base, nas, true, {absl::Hours(24), absl::Seconds(60)}, [this] { return stop_step_; },
        [&]() -> absl::Status {
          const VmModel& vm = env_.host.vms.at(record().vm_uuid);
          for (const DiskModel& disk : vm.disks) {
            if (disk.target != target) continue;
            const bool wrong = env_.base.mutant == Mutant::kCopyReadsTheOverlay;
            const Blocks from = wrong ? vm.Read(disk, env_.host.overlays) : disk.base;
            Folder& folder = nas.incoming[incoming];
            folder.task = incoming;
            folder.disks[target][block] = from[block];
            folder.copied[target] = block + 1;
          }
          return absl::OkStatus();
        }));
  }
  executor::BackupData data = task_.data;
  data.copies[target] = {};
  VMKEEP_RETURN_IF_ERROR(env_.journal.PutData(record().task, data));
  task_.data = std::move(data);
  return absl::OkStatus();
}

absl::Status TaskDriver::Merge(const std::string& target) {
  if (env_.base.mutant == Mutant::kNeverMerges) return absl::InternalError("never");
  for (const executor::OverlayDisk& disk : task_.data.overlays) {
    if (disk.target == target) return MergeDisk(Merging(), disk);
  }
  return absl::InternalError("no such disk");
}

absl::Status TaskDriver::Publish() {
  Backoff backoff(absl::Seconds(1), absl::Seconds(10), 0);
  for (int tries = 1;; ++tries) {
    const absl::Status status = PublishOnce();
    const bool unclear = absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
    if (!unclear || tries == 3) return status;
    Fiber::Pause(backoff.Next());
  }
}

absl::Status TaskDriver::PublishOnce() {
  Nas& nas = *Repository(record());
  const std::string incoming = record().task.ToString();
  VMKEEP_RETURN_IF_ERROR(OnNas(
      env_.base, nas, true, {absl::Minutes(5)}, [] { return false; },
      [&]() -> absl::Status {
        const auto found = nas.published.find(record().backup_id);
        if (found != nas.published.end() && found->second.task != incoming) {
          return worker::error::AlreadyPublished(record().backup_id, found->second.task);
        }
        if (found != nas.published.end()) return absl::OkStatus();
        if (env_.base.mutant == Mutant::kPublishDoesNothing) return absl::OkStatus();
        auto folder = nas.incoming.extract(incoming);
        if (folder.empty()) return worker::error::IncomingAbsent(incoming);
        for (const executor::Disk& disk : task_.data.vm.disks) {
          folder.mapped().manifest.push_back(disk.target);
        }
        folder.key() = record().backup_id;
        env_.acts("publish", record());
        nas.published.insert(std::move(folder));
        env_.base.trace.Add(nas.id,
                            absl::StrCat("published ", record().backup_id, " by ", incoming));
        return absl::OkStatus();
      }));
  // The rename is done; what tells of it may fail.
  process_.Boundary("after the rename");
  if (nas.eio) return nas.Check(true);
  result_.emplace();
  result_->time_valid = task_.data.snapshot ? task_.data.snapshot->instant : env_.base.time.wall();
  result_->stored_bytes = 10;
  result_->manifest_sha256 = incoming;
  return absl::OkStatus();
}

absl::Status TaskDriver::Scrub() {
  for (const executor::TaskRecord& left : env_.journal.Leftovers()) {
    if (left.backup_id != record().backup_id || left.repository_id != record().repository_id)
      continue;
    VMKEEP_RETURN_IF_ERROR(DiscardTry(left));
    VMKEEP_RETURN_IF_ERROR(env_.journal.ForgetFiles(left.task));
  }
  return ScrubPublished();
}

absl::Status TaskDriver::DiscardTry(const executor::TaskRecord& record) {
  return RemoveTry(process_, *Repository(record), record);
}

// Out of sight in one step, then removed.
absl::Status TaskDriver::ScrubPublished() {
  Nas& nas = *Repository(record());
  const auto never = [] { return false; };
  const std::string& id = record().backup_id;
  VMKEEP_RETURN_IF_ERROR(
      OnNas(env_.base, nas, false, {absl::Minutes(10)}, never, [&]() -> absl::Status {
        env_.acts("scrub", record());
        if (env_.base.mutant == Mutant::kScrubDoesNothing) return absl::OkStatus();
        auto folder = nas.published.extract(id);
        if (!folder.empty()) nas.scrub[id] = std::move(folder.mapped());
        if (env_.base.mutant == Mutant::kScrubTakesAnother && !nas.published.empty()) {
          nas.published.erase(nas.published.begin());
        }
        env_.base.trace.Add(nas.id, absl::StrCat("scrubs ", id));
        return absl::OkStatus();
      }));
  process_.Boundary("in a scrub");
  return OnNas(env_.base, nas, false, {absl::Minutes(10)}, never, [&] {
    nas.scrub.erase(id);
    return absl::OkStatus();
  });
}

Nas* TaskDriver::Repository(const executor::TaskRecord& record) const {
  return env_.repositories.at(record.slot);
}

executor::MergeContext TaskDriver::Merging() const {
  return {env_.host, env_.base.clock, absl::Hours(6), {}};
}

controller::ExecutorEvent TaskDriver::NewEvent() const {
  controller::ExecutorEvent event;
  event.time = env_.base.time.wall();
  event.task = {record().task.id, record().task.epoch};
  event.backup_id = record().backup_id;
  return event;
}

controller::TaskEnded TaskDriver::Ended(const executor::Ending& ending) const {
  controller::TaskEnded ended;
  ended.outcome = ending.outcome == executor::Outcome::kDone     ? controller::Outcome::kDone
                  : ending.outcome == executor::Outcome::kFailed ? controller::Outcome::kFailed
                                                                 : controller::Outcome::kCancelled;
  if (const absl::Status& why = state().failure; !why.ok()) {
    controller::Failure failure;
    failure.reason = ErrorReason(why);
    failure.message = std::string(why.message());
    failure.phase = std::string(state().failed_in ? RuleOf(*state().failed_in).phase : "QUEUED");
    failure.retryable = executor::error::IsPassing(why);
    failure.time = env_.base.time.wall();
    for (const auto& [key, value] : ErrorDetails(why)) failure.metadata[key] = value;
    ended.failure = std::move(failure);
  }
  if (ending.outcome == executor::Outcome::kDone) ended.backup = result_;
  ended.files_may_remain = ending.files_may_remain;
  ended.vm_on_overlay = ending.vm_on_overlay;
  ended.snapshot_taken = ending.snapshot_taken;
  return ended;
}

}  // namespace vmkeep::sim
