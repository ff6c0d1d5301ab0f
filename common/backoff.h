#ifndef VMKEEP_COMMON_BACKOFF_H_
#define VMKEEP_COMMON_BACKOFF_H_

#include "absl/time/time.h"

#include <algorithm>
#include <random>

namespace vmkeep {

// Growing delays with full jitter between half and all of the step, so that many clients do not
// come back at once. Not thread-safe.
class Backoff {
 public:
  Backoff(absl::Duration first, absl::Duration max, uint64_t seed)
      : first_(first), max_(max), step_(first), random_(seed) {}

  absl::Duration Next() {
    const double share = std::uniform_real_distribution<double>(0.5, 1.0)(random_);
    const absl::Duration delay = step_ * share;
    step_ = std::min(step_ * 2, max_);
    return delay;
  }
  void Reset() { step_ = first_; }

 private:
  const absl::Duration first_;
  const absl::Duration max_;
  absl::Duration step_;
  std::mt19937_64 random_;
};

}  // namespace vmkeep

#endif  // VMKEEP_COMMON_BACKOFF_H_
