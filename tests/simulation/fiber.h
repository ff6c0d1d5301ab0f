#ifndef VMKEEP_TESTS_SIMULATION_FIBER_H_
#define VMKEEP_TESTS_SIMULATION_FIBER_H_

#include "common/clock.h"
#include "tests/simulation/timeline.h"

#include "absl/time/time.h"
#include <ucontext.h>

#include <functional>
#include <memory>
#include <stop_token>

namespace vmkeep::sim {

// Thrown through a fiber that is killed, up to its root. Not a std::exception: production code that
// catches those must not catch this.
struct Killed {};

// What is a thread in production: code that blocks, in virtual time. Runs in the one thread of the
// simulation until it pauses, and is resumed by the timeline. Destroying a fiber kills it where it
// pauses.
class Fiber {
 public:
  Fiber(Timeline& time, std::function<void()> body);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  bool done() const;

  // Of the fiber that runs now. Throws Killed.
  static void Pause(absl::Duration delay);
  static bool OnFiber();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // shared with its events on the timeline
};

// The clock of production code in a simulation. Only code on a fiber may wait on it.
class SimClock final : public Clock {
 public:
  explicit SimClock(Timeline& time) : time_(time) {}
  absl::Time Now() override { return time_.wall(); }
  absl::Duration Monotonic() override { return time_.now(); }
  bool WaitUntil(absl::Duration deadline, const std::stop_token& stop) override;

 private:
  Timeline& time_;
};

}  // namespace vmkeep::sim

#endif  // VMKEEP_TESTS_SIMULATION_FIBER_H_
