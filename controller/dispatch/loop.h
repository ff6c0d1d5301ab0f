#ifndef VMKEEP_CONTROLLER_DISPATCH_LOOP_H_
#define VMKEEP_CONTROLLER_DISPATCH_LOOP_H_

#include "common/clock.h"
#include "common/mutex.h"

#include "absl/time/time.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <stop_token>
#include <thread>
#include <utility>

namespace vmkeep::controller {

// Runs what is posted, in order, and later what is due: links and scheduler keep their state on it
// and need no locks. What runs here must not block. Held by shared_ptr, so that a late callback can
// still post. Tests may run everything in their own thread and time (tests/simulation).
class Loop {
 public:
  virtual ~Loop() = default;
  virtual void Post(std::function<void()> run) = 0;
  virtual void PostAfter(absl::Duration delay, std::function<void()> run) = 0;
};

// A loop on a thread of its own. Thread-safe, also after Stop(): then nothing runs any more and the
// closures are destroyed.
class ThreadLoop final : public Loop {
 public:
  explicit ThreadLoop(Clock& clock);
  ~ThreadLoop() override;
  ThreadLoop(const ThreadLoop&) = delete;
  ThreadLoop& operator=(const ThreadLoop&) = delete;

  void Post(std::function<void()> run) override ABSL_LOCKS_EXCLUDED(mu_);
  void PostAfter(absl::Duration delay, std::function<void()> run) override ABSL_LOCKS_EXCLUDED(mu_);

  // Waits for what runs now; drops the rest. Not from the loop's own thread.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using TimerKey =
      std::pair<absl::Duration, int64_t>;  // when (monotonic), then first come first served

  void Run();
  // The next thing to run; empty when there is none, then `wait_until` says how long.
  std::function<void()> Next(absl::Duration& wait_until, std::stop_token& woken)
      ABSL_LOCKS_EXCLUDED(mu_);

  Clock& clock_;
  Mutex mu_;
  std::deque<std::function<void()>> ready_ ABSL_GUARDED_BY(mu_);
  std::map<TimerKey, std::function<void()>> timers_ ABSL_GUARDED_BY(mu_);
  int64_t next_timer_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::stop_source wake_ ABSL_GUARDED_BY(mu_);  // ends the wait under way
  std::thread thread_;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_DISPATCH_LOOP_H_
