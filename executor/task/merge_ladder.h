#ifndef VMKEEP_EXECUTOR_TASK_MERGE_LADDER_H_
#define VMKEEP_EXECUTOR_TASK_MERGE_LADDER_H_

#include "executor/hypervisor/hypervisor.h"

#include "absl/time/time.h"

#include <cstdint>
#include <optional>

// What to do about a merge that the guest outruns: a pure function of what was seen. No I/O, no
// clock. The rungs, lowest first: full speed, a limit on the guest's writes, a suspended guest,
// rest (docs/adr/0062).
namespace vmkeep::executor {

struct LadderPolicy {
  // The trend is judged over this, and then the next rung is taken.
  absl::Duration window = absl::Seconds(30);
  // How long a guest may be suspended for its merge; zero: never.
  absl::Duration suspend_for;
  // After the last rung the guest is left alone for so long; then the ladder begins anew.
  absl::Duration rest = absl::Minutes(5);
};

// A merge that runs, as seen at a time. `done` and `total` both grow while the guest writes: what
// counts is what is left.
struct MergeSample {
  absl::Duration at;  // monotonic
  int64_t done = 0;
  int64_t total = 0;

  int64_t left() const { return total - done; }
};

enum class Rung { kNone, kFullSpeed, kLimitWrites, kSuspend, kRest };

struct LadderState {
  Rung rung = Rung::kNone;
  std::optional<MergeSample> since;  // begin of the window, or of the suspension or the rest
  MergeHelp help;                    // what the guest and the merge are under now
};

// Whether what is left reaches zero within `in_time` if it goes on as between the two.
bool Converges(const MergeSample& before, const MergeSample& now, absl::Duration in_time);

// The state after a sample. Its `help` is what is to be set when it is another one than before.
// `in_time`: when the merge must have ended, from now on.
LadderState Climb(const LadderState& state, const MergeSample& now, absl::Duration in_time,
                  const LadderPolicy& policy);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_MERGE_LADDER_H_
