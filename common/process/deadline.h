#ifndef VMKEEP_COMMON_PROCESS_DEADLINE_H_
#define VMKEEP_COMMON_PROCESS_DEADLINE_H_

#include "common/clock.h"

#include "absl/time/time.h"

#include <algorithm>

namespace vmkeep::process {

// The end of a wait, from its beginning; monotonic.
class Deadline {
 public:
  explicit Deadline(absl::Duration timeout) : at_(RealClock().Monotonic() + timeout) {}
  absl::Duration Left() const {
    return std::max(absl::ZeroDuration(), at_ - RealClock().Monotonic());
  }
  bool Passed() const { return Left() == absl::ZeroDuration(); }

 private:
  const absl::Duration at_;
};

}  // namespace vmkeep::process

#endif  // VMKEEP_COMMON_PROCESS_DEADLINE_H_
