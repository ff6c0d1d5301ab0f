#include "executor/task/task_run.h"

#include "common/backoff.h"
#include "common/error.h"
#include "common/log.h"
#include "common/utf8.h"
#include "executor/task/backup_manifest.h"
#include "executor/task/errors.h"

#include <exception>
#include <functional>
#include <utility>

namespace vmkeep::executor {
namespace {

constexpr absl::Duration kFirstJournalRetry = absl::Milliseconds(200);
constexpr absl::Duration kLongestJournalRetry = absl::Seconds(10);

v1::TaskEnded::Outcome ToProto(Outcome outcome) {
  switch (outcome) {
    case Outcome::kDone:
      return v1::TaskEnded::DONE;
    case Outcome::kFailed:
      return v1::TaskEnded::FAILED;
    case Outcome::kCancelled:
      return v1::TaskEnded::CANCELLED;
  }
  return v1::TaskEnded::OUTCOME_UNSPECIFIED;
}

::vmkeep::v1::Failure FailureOf(const TaskState& state, absl::Time now) {
  ::vmkeep::v1::Failure failure;
  failure.set_reason(ReasonOrCode(state.failure));
  failure.set_message(ToUtf8(state.failure.message()));
  failure.set_phase(std::string(state.failed_in ? RuleOf(*state.failed_in).phase : "QUEUED"));
  failure.set_retryable(error::IsPassing(state.failure));
  *failure.mutable_time() = ToTimestamp(now);
  for (const auto& [key, value] : ErrorDetails(state.failure)) {
    (*failure.mutable_metadata())[key] = value;
  }
  return failure;
}

// Of a state that the journal had.
std::string InterruptedCopy(const TaskState& state) {
  const int step = state.running();
  const bool copy = step >= 0 && state.steps[step].kind == StepKind::kCopy;
  return copy ? state.steps[step].target : "";
}

}  // namespace

TaskRun::TaskRun(const Environment& env, EventLog& events, KnownTask task, std::stop_token abandon)
    : env_(env),
      events_(events),
      record_(task.record),
      abandon_(std::move(abandon)),
      steps_(env, task.record, std::move(task.data), InterruptedCopy(task.state),
             [this](const ::vmkeep::v1::Progress& progress) {
               events_.TellProgress(record_, progress);
             }),
      state_(std::move(task.state)) {}

void TaskRun::Execute(const TaskEvent& first) {
  const log::Scope scope({{"backup", record_.backup_id},
                          {"host", env_.options.hostname},
                          {"task", record_.task.ToString()}});
  log::Info("task_begin", {{"kind", TaskKindName(record_.kind)},
                           {"backup", record_.backup_id},
                           {"host", env_.options.hostname},
                           {"task", record_.task.ToString()},
                           {"vm", record_.vm_uuid}});
  std::optional<TaskEvent> event = first;
  while (event) event = CarryOut(Apply(*event));
}

void TaskRun::Cancel() { CarryOut(Apply({TaskEvent::Kind::kCancelRequested, {}, {}})); }

void TaskRun::Stop(const absl::Status& why) {
  CarryOut(Apply({TaskEvent::Kind::kStopRequested, why, {}}));
}

std::vector<Command> TaskRun::Apply(const TaskEvent& event) {
  MutexLock lock(&mu_);
  Transition transition = Advance(state_, event);
  state_ = std::move(transition.next);
  for (const Command& command : transition.commands) {
    if (command.kind == Command::Kind::kRunStep) step_ = std::stop_source();
  }
  return std::move(transition.commands);
}

std::optional<TaskEvent> TaskRun::CarryOut(const std::vector<Command>& commands) {
  absl::Status saved;
  for (const Command& command : commands) {
    switch (command.kind) {
      case Command::Kind::kThaw:
        steps_.Thaw(abandon_);
        break;
      case Command::Kind::kEmitStepDone:
        NoteStepDone(State().steps[command.step]);
        break;
      case Command::Kind::kJournalIntent:
        saved = Save();
        break;
      case Command::Kind::kRunStep: {
        const bool wait = RuleOf(State().steps[command.step].kind).needs_journal;
        if (wait && !saved.ok()) return TaskEvent{TaskEvent::Kind::kStepFailed, saved, {}};
        TaskEvent happened = RunStep(command.step);
        if (abandon_.stop_requested()) return std::nullopt;
        return happened;
      }
      case Command::Kind::kCancelRunningStep: {
        std::stop_source step;
        {
          MutexLock lock(&mu_);
          step = step_;
        }
        step.request_stop();
        break;
      }
      case Command::Kind::kEnd:
        End(command.ending);
        break;
    }
  }
  return std::nullopt;
}

void TaskRun::NoteStepDone(const Step& step) {
  unsaved_.push_back(StepDoneEvent(step));
  if (step.kind == StepKind::kSnapshot || step.kind == StepKind::kCheck) {
    events_.TellInventoryChanged();  // the VM went onto overlays, or came off them
  }
}

TaskEvent TaskRun::RunStep(int index) {
  const TaskState state = State();
  std::stop_source step;
  {
    MutexLock lock(&mu_);
    step = step_;
  }
  const std::stop_callback abandon(abandon_, [&step] { step.request_stop(); });
  const absl::Duration began = env_.clock.Monotonic();
  absl::Status status;
  try {
    status = steps_.Run(state, index, step.get_token());
  } catch (const std::exception& error) {  // of a library below; the task's thread must end well
    status = absl::InternalError(error.what());
  }
  const Step& ran = state.steps[index];
  if (status.ok()) {
    log::Info("step_done", {{"step", RuleOf(ran.kind).name},
                            {"disk", ran.target},
                            {"seconds", absl::ToDoubleSeconds(env_.clock.Monotonic() - began)}});
    return {TaskEvent::Kind::kStepSucceeded, {}, steps_.disks(), env_.hypervisor.method()};
  }
  log::Warning("step_failed", {{"step", RuleOf(ran.kind).name},
                               {"disk", ran.target},
                               {"backup", record_.backup_id},
                               {"host", env_.options.hostname},
                               {"task", record_.task.ToString()},
                               {"reason", ErrorReason(status)},
                               {"error", status.message()}});
  return {TaskEvent::Kind::kStepFailed, status, {}};
}

absl::Status TaskRun::Save() {
  const absl::Status status = env_.journal.Save(record_.task, State(), unsaved_);
  if (status.ok()) {
    unsaved_.clear();
    events_.Committed();
  } else {
    log::Error("journal_not_written", {{"backup", record_.backup_id},
                                       {"task", record_.task.ToString()},
                                       {"error", status.message()}});
  }
  return status;
}

void TaskRun::End(const Ending& ending) {
  const TaskState state = State();
  unsaved_.push_back(EndedEvent(state, ending));
  events_.DropProgress(record_);
  Backoff backoff(kFirstJournalRetry, kLongestJournalRetry,
                  std::hash<std::string>()(record_.task.id));
  // The end must be told: a journal that cannot be written is waited for.
  absl::Status status;
  while (!(status = env_.journal.End(record_.task, state, ending, unsaved_)).ok()) {
    log::Error("journal_not_written", {{"backup", record_.backup_id},
                                       {"task", record_.task.ToString()},
                                       {"error", status.message()}});
    if (!env_.clock.WaitFor(backoff.Next(), abandon_)) return;
  }
  unsaved_.clear();
  events_.Committed();
  log::Info("task_end", {{"outcome", v1::TaskEnded::Outcome_Name(ToProto(ending.outcome))},
                         {"reason", ErrorReason(state.failure)},
                         {"backup", record_.backup_id},
                         {"host", env_.options.hostname},
                         {"task", record_.task.ToString()},
                         {"vm_on_overlay", ending.vm_on_overlay}});
}

v1::Event TaskRun::StepDoneEvent(const Step& step) {
  v1::Event event = events_.NewEvent(record_);
  event.mutable_step()->set_step(std::string(RuleOf(step.kind).name));
  event.mutable_step()->set_target(step.target);
  const bool instant = step.kind == StepKind::kSnapshot || step.kind == StepKind::kExport;
  if (instant && steps_.snapshot()) {
    *event.mutable_step()->mutable_time_valid() = ToTimestamp(steps_.snapshot()->instant);
  }
  return event;
}

v1::Event TaskRun::EndedEvent(const TaskState& state, const Ending& ending) {
  v1::Event event = events_.NewEvent(record_);
  v1::TaskEnded& ended = *event.mutable_ended();
  ended.set_outcome(ToProto(ending.outcome));
  if (!state.failure.ok()) *ended.mutable_failure() = FailureOf(state, env_.clock.Now());
  if (ending.outcome == Outcome::kDone && steps_.result()) {
    *ended.mutable_backup() = *steps_.result();
  }
  ended.set_files_may_remain(ending.files_may_remain);
  // After a loss the VM is on its base, and only the files are kept.
  ended.set_vm_on_overlay(ending.vm_on_overlay && !state.lost());
  ended.set_snapshot_taken(ending.snapshot_taken);
  return event;
}

std::string TaskRun::phase() {
  const TaskState state = State();
  const int running = state.running();
  return running < 0 ? "QUEUED" : std::string(RuleOf(state.steps[running].kind).phase);
}

TaskState TaskRun::State() {
  MutexLock lock(&mu_);
  return state_;
}

}  // namespace vmkeep::executor
