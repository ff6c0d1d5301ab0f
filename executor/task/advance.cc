#include "executor/task/advance.h"

#include <algorithm>
#include <utility>

namespace vmkeep::executor {
namespace {

bool Aborting(const TaskState& state) { return state.cancelled || !state.failure.ok(); }

bool AnyStep(const TaskState& state, StepKind kind, StepStatus status) {
  return std::any_of(state.steps.begin(), state.steps.end(),
                     [&](const Step& step) { return step.kind == kind && step.status == status; });
}

bool Begun(const TaskState& state, StepKind kind) {
  return std::any_of(state.steps.begin(), state.steps.end(), [&](const Step& step) {
    return step.kind == kind && step.status != StepStatus::kPending;
  });
}

bool AnyFailed(const TaskState& state, StepKind kind) {
  return AnyStep(state, kind, StepStatus::kFailed);
}

// Whether a step that is pending has its turn. The list's order does the rest.
bool Wanted(const TaskState& state, StepKind kind) {
  switch (RuleOf(kind).step_class) {
    case StepClass::kForward:
      return !Aborting(state);
    case StepClass::kAlways:
      if (!Begun(state, StepKind::kSnapshot) && !Begun(state, StepKind::kExport)) return false;
      // One disk that cannot be merged does not keep the others on their overlays; but nothing is
      // unlinked then.
      if (kind == StepKind::kMerge) return true;
      return !AnyFailed(state, StepKind::kMerge) && !AnyFailed(state, StepKind::kCheck);
    case StepClass::kOnAbort:
      // Nothing is removed below somebody who may still write there.
      return Aborting(state) && !AnyFailed(state, StepKind::kEndExport) &&
             (Begun(state, StepKind::kCopy) || Begun(state, StepKind::kExport));
  }
  return false;
}

// Whether what the step `kind` makes exists or may exist: a clear refusal says that it does not.
bool Taken(const TaskState& state, StepKind kind) {
  if (!Begun(state, kind)) return false;
  if (!AnyFailed(state, kind) || state.failed_in != kind) return true;
  switch (state.failure.code()) {
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kResourceExhausted:
      return false;
    default:
      return true;
  }
}

Ending EndingOf(const TaskState& state) {
  Ending ending;
  if (!state.failure.ok()) {
    ending.outcome = Outcome::kFailed;
  } else if (state.cancelled) {
    ending.outcome = Outcome::kCancelled;
  }
  ending.files_may_remain =
      AnyFailed(state, StepKind::kDiscard) || AnyFailed(state, StepKind::kEndExport);
  ending.vm_on_overlay = AnyFailed(state, StepKind::kMerge) || AnyFailed(state, StepKind::kCheck);
  ending.snapshot_taken = Taken(state, StepKind::kSnapshot) || Taken(state, StepKind::kExport);
  return ending;
}

void Fail(TaskState& state, const absl::Status& status, std::optional<StepKind> in) {
  state.failure = status;
  state.failed_in = in;
}

void RunStep(Transition& transition, int step) {
  transition.next.steps[step].status = StepStatus::kRunning;
  transition.commands.push_back({Command::Kind::kJournalIntent, step, {}});
  transition.commands.push_back({Command::Kind::kRunStep, step, {}});
}

void RunNext(Transition& transition) {
  TaskState& state = transition.next;
  for (size_t i = 0; i < state.steps.size(); ++i) {
    if (state.steps[i].status == StepStatus::kPending && Wanted(state, state.steps[i].kind)) {
      RunStep(transition, static_cast<int>(i));
      return;
    }
  }
  state.ended = true;
  transition.commands.push_back({Command::Kind::kEnd, -1, EndingOf(state)});
}

void OnStart(Transition& transition) {
  const TaskState& state = transition.next;
  const bool fresh = std::all_of(state.steps.begin(), state.steps.end(), [](const Step& step) {
    return step.status == StepStatus::kPending;
  });
  if (fresh) RunNext(transition);
}

void OnSucceeded(Transition& transition, const TaskEvent& event) {
  TaskState& state = transition.next;
  const int step = state.running();
  if (step < 0) return;
  const bool preflight = state.steps[step].kind == StepKind::kPreflight;
  if (preflight) state.steps = StepsOf(state.kind, event.method, event.disks);
  state.steps[step].status = StepStatus::kDone;
  transition.commands.push_back({Command::Kind::kEmitStepDone, step, {}});
  RunNext(transition);
}

void OnFailed(Transition& transition, const TaskEvent& event) {
  TaskState& state = transition.next;
  const int step = state.running();
  if (step < 0) return;
  state.steps[step].status = StepStatus::kFailed;
  const StepRule& rule = RuleOf(state.steps[step].kind);
  // A forward step that ends after a cancel is what the cancel asked for. A merge that fails is a
  // failure all the same. A discard that fails is told by files_may_remain.
  const bool always = rule.step_class == StepClass::kAlways;
  const bool counts = always || (rule.step_class == StepClass::kForward && !state.cancelled);
  const bool first = state.failure.ok();
  const bool loss = always && absl::IsDataLoss(event.status);  // told whatever failed before it
  if ((first && counts) || loss) Fail(state, event.status, rule.kind);
  RunNext(transition);
}

// A cancel (status OK) or a stop.
void OnAbort(Transition& transition, const TaskEvent& event) {
  TaskState& state = transition.next;
  if (Aborting(state)) return;
  const int step = state.running();
  if (step >= 0 && RuleOf(state.steps[step].kind).past_return) return;
  if (event.kind == TaskEvent::Kind::kCancelRequested) {
    state.cancelled = true;
  } else {
    Fail(state, event.status, step < 0 ? std::nullopt : std::optional(state.steps[step].kind));
  }
  if (step >= 0 && RuleOf(state.steps[step].kind).stoppable) {
    transition.commands.push_back({Command::Kind::kCancelRunningStep, step, {}});
  }
}

// What was under way is not known to have happened. A step that finds out for itself is run again,
// and the task goes on; any other one counts as failed, and the task with it. What had failed in
// the safe direction is tried once more either way.
void OnRestarted(Transition& transition, const TaskEvent& event) {
  TaskState& state = transition.next;
  const int step = state.running();
  if (step >= 0 && state.steps[step].kind == StepKind::kSnapshot) {
    transition.commands.push_back({Command::Kind::kThaw, step, {}});
  }
  // A backup that was only accepted is not begun by another process: it is asked for once more.
  const bool goes_on =
      step >= 0 ? RuleOf(state.steps[step].kind).repeated : state.kind == TaskKind::kScrub;
  if (!Aborting(state) && !goes_on) {
    Fail(state, event.status, step < 0 ? std::nullopt : std::optional(state.steps[step].kind));
  }
  for (Step& each : state.steps) {
    if (each.status != StepStatus::kRunning && each.status != StepStatus::kFailed) continue;
    if (state.lost() && each.kind == state.failed_in) continue;
    const StepRule& rule = RuleOf(each.kind);
    const bool in_vain = rule.step_class == StepClass::kForward && Aborting(state);
    each.status = rule.repeated && !in_vain ? StepStatus::kPending : StepStatus::kFailed;
  }
  RunNext(transition);
}

}  // namespace

int TaskState::running() const {
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].status == StepStatus::kRunning) return static_cast<int>(i);
  }
  return -1;
}

bool TaskState::lost() const {
  return absl::IsDataLoss(failure) && failed_in &&
         RuleOf(*failed_in).step_class == StepClass::kAlways;
}

TaskState NewTask(TaskKind kind) {
  TaskState state;
  state.kind = kind;
  state.steps = StepsOf(kind, BackupMethod::kOverlays, {});
  return state;
}

Transition Advance(const TaskState& state, const TaskEvent& event) {
  Transition transition{state, {}};
  if (state.ended) return transition;
  switch (event.kind) {
    case TaskEvent::Kind::kStart:
      OnStart(transition);
      break;
    case TaskEvent::Kind::kStepSucceeded:
      OnSucceeded(transition, event);
      break;
    case TaskEvent::Kind::kStepFailed:
      OnFailed(transition, event);
      break;
    case TaskEvent::Kind::kCancelRequested:
    case TaskEvent::Kind::kStopRequested:
      OnAbort(transition, event);
      break;
    case TaskEvent::Kind::kRestarted:
      OnRestarted(transition, event);
      break;
  }
  return transition;
}

}  // namespace vmkeep::executor
