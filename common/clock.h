#ifndef VMKEEP_COMMON_CLOCK_H_
#define VMKEEP_COMMON_CLOCK_H_

#include "absl/time/time.h"

#include <stop_token>

namespace vmkeep {

// Time, injected: everything that waits or stamps asks a Clock. Thread-safe.
// tests/fakes/fake_clock.h is the other one.
class Clock {
 public:
  virtual ~Clock() = default;
  // Wall time: for stamps that people read. May jump.
  virtual absl::Time Now() = 0;
  // Time since an unspecified start: for durations and deadlines. Never jumps.
  virtual absl::Duration Monotonic() = 0;
  // Waits until Monotonic() >= `deadline`. Returns false as soon as a stop is requested, else true.
  virtual bool WaitUntil(absl::Duration deadline, const std::stop_token& stop) = 0;

  bool WaitFor(absl::Duration duration, const std::stop_token& stop) {
    return WaitUntil(Monotonic() + duration, stop);
  }
};

// The machine's clock; lives as long as the process.
Clock& RealClock();

}  // namespace vmkeep

#endif  // VMKEEP_COMMON_CLOCK_H_
