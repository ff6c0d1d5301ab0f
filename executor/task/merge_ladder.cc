#include "executor/task/merge_ladder.h"

#include <algorithm>

namespace vmkeep::executor {
namespace {

// A guest that may write less than that counts as stopped: suspending it is the honest way.
constexpr int64_t kLeastLimit = 1 << 20;

// Half of what the merge moved in the window: the other half is for what is left.
int64_t WriteLimit(const MergeSample& before, const MergeSample& now) {
  const double seconds = absl::ToDoubleSeconds(now.at - before.at);
  const double moved = static_cast<double>(std::max<int64_t>(now.done - before.done, 0));
  return std::max(kLeastLimit, static_cast<int64_t>(moved / seconds / 2));
}

Rung Next(Rung rung, const LadderPolicy& policy) {
  switch (rung) {
    case Rung::kNone:
      return Rung::kFullSpeed;
    case Rung::kFullSpeed:
      return Rung::kLimitWrites;
    case Rung::kLimitWrites:
      return policy.suspend_for > absl::ZeroDuration() ? Rung::kSuspend : Rung::kRest;
    case Rung::kSuspend:
      return Rung::kRest;
    case Rung::kRest:
      return Rung::kNone;
  }
  return Rung::kNone;
}

absl::Duration LengthOf(Rung rung, const LadderPolicy& policy) {
  if (rung == Rung::kSuspend) return policy.suspend_for;
  return rung == Rung::kRest ? policy.rest : policy.window;
}

}  // namespace

bool Converges(const MergeSample& before, const MergeSample& now, absl::Duration in_time) {
  if (now.left() <= 0) return true;
  const int64_t less = before.left() - now.left();
  if (less <= 0) return false;
  return (now.at - before.at) * (static_cast<double>(now.left()) / static_cast<double>(less)) <=
         in_time;
}

LadderState Climb(const LadderState& state, const MergeSample& now, absl::Duration in_time,
                  const LadderPolicy& policy) {
  LadderState next = state;
  if (!state.since) {
    next.since = now;
    return next;
  }
  if (now.at - state.since->at < LengthOf(state.rung, policy)) return next;
  // A suspension ends when its time is over, however it went; and a rest is no trial.
  const bool judged = state.rung != Rung::kSuspend && state.rung != Rung::kRest;
  next.since = now;
  if (judged && Converges(*state.since, now, in_time)) return next;
  next.rung = Next(state.rung, policy);
  switch (next.rung) {
    case Rung::kNone:
    case Rung::kRest:
      next.help = {};
      break;
    case Rung::kFullSpeed:
      next.help.full_speed = true;
      break;
    case Rung::kLimitWrites:
      next.help.write_bytes_per_second = WriteLimit(*state.since, now);
      break;
    case Rung::kSuspend:
      next.help.suspended = true;
      break;
  }
  return next;
}

}  // namespace vmkeep::executor
