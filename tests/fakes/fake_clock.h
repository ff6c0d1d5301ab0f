#ifndef VMKEEP_TESTS_FAKES_FAKE_CLOCK_H_
#define VMKEEP_TESTS_FAKES_FAKE_CLOCK_H_

#include "common/clock.h"
#include "common/mutex.h"

#include "absl/time/time.h"

#include <stop_token>

namespace vmkeep::test {

// A clock that moves only when a test says so. Thread-safe. Must outlive every wait on it.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(absl::Time now = absl::FromUnixSeconds(1'750'000'000)) : now_(now) {}

  absl::Time Now() override {
    MutexLock lock(&mu_);
    return now_;
  }

  absl::Duration Monotonic() override {
    MutexLock lock(&mu_);
    return monotonic_;
  }

  bool WaitUntil(absl::Duration deadline, const std::stop_token& stop) override {
    // Taken before and given back after the lock: the callback may run in the thread that asks for
    // the stop.
    const std::stop_callback wake(stop, [this] {
      MutexLock lock(&mu_);
      changed_.NotifyAll();
    });
    MutexLock lock(&mu_);
    ++waiters_;
    changed_.NotifyAll();
    while (monotonic_ < deadline && !stop.stop_requested()) changed_.Wait(&mu_);
    --waiters_;
    return !stop.stop_requested();
  }

  // Moves both times on and wakes whoever has waited long enough.
  void Advance(absl::Duration by) {
    MutexLock lock(&mu_);
    now_ += by;
    monotonic_ += by;
    changed_.NotifyAll();
  }

  // A jump of the wall clock; durations and deadlines do not notice.
  void SetNow(absl::Time now) {
    MutexLock lock(&mu_);
    now_ = now;
  }

  // Waits (in real time) until `count` threads wait on this clock: before an Advance() that is
  // meant for them.
  void AwaitWaiters(int count) {
    MutexLock lock(&mu_);
    while (waiters_ < count) changed_.Wait(&mu_);
  }

 private:
  Mutex mu_;
  CondVar changed_;
  absl::Time now_ ABSL_GUARDED_BY(mu_);
  absl::Duration monotonic_ ABSL_GUARDED_BY(mu_) = absl::Hours(1);
  int waiters_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace vmkeep::test

#endif  // VMKEEP_TESTS_FAKES_FAKE_CLOCK_H_
