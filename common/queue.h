#ifndef VMKEEP_COMMON_QUEUE_H_
#define VMKEEP_COMMON_QUEUE_H_

#include "common/mutex.h"

#include "absl/time/time.h"

#include <deque>
#include <optional>
#include <utility>

namespace vmkeep {

// The inbox of a thread that owns its state: many threads push, one pops. Thread-safe. Bounded by
// its users: each pusher holds at most a known number of entries in flight.
template <typename T>
class Queue {
 public:
  // False when the queue is closed; the value is dropped then.
  bool Push(T value) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    if (closed_) return false;
    items_.push_back(std::move(value));
    changed_.NotifyOne();
    return true;
  }

  // Waits for the next value; nothing when the queue is closed and empty, or after `timeout`.
  std::optional<T> Pop(absl::Duration timeout = absl::InfiniteDuration()) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    if (timeout == absl::InfiniteDuration()) {
      while (items_.empty() && !closed_) changed_.Wait(&mu_);
    } else if (items_.empty() && !closed_) {
      changed_.WaitFor(&mu_, timeout);
    }
    return Take();
  }

  std::optional<T> TryPop() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return Take();
  }

  // Everything that is there, at once; empty when the queue is closed and empty. Waits like Pop().
  std::deque<T> PopAll() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    while (items_.empty() && !closed_) changed_.Wait(&mu_);
    return std::exchange(items_, {});
  }

  void Close() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    closed_ = true;
    changed_.NotifyAll();
  }

  bool closed() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return closed_;
  }

 private:
  std::optional<T> Take() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (items_.empty()) return std::nullopt;
    std::optional<T> value(std::move(items_.front()));
    items_.pop_front();
    return value;
  }

  mutable Mutex mu_;
  CondVar changed_;
  std::deque<T> items_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace vmkeep

#endif  // VMKEEP_COMMON_QUEUE_H_
