#include "controller/dispatch/loop.h"

#include <algorithm>

namespace vmkeep::controller {
namespace {
// A wait without a deadline ends now and then; nothing depends on it.
constexpr absl::Duration kLongWait = absl::Hours(1);
}  // namespace

ThreadLoop::ThreadLoop(Clock& clock) : clock_(clock), thread_([this] { Run(); }) {}

ThreadLoop::~ThreadLoop() { Stop(); }

void ThreadLoop::Post(std::function<void()> run) {
  std::stop_source wake;
  {
    MutexLock lock(&mu_);
    if (stopped_) return;
    ready_.push_back(std::move(run));
    wake = wake_;
  }
  wake.request_stop();
}

void ThreadLoop::PostAfter(absl::Duration delay, std::function<void()> run) {
  const absl::Duration at = clock_.Monotonic() + delay;
  std::stop_source wake;
  {
    MutexLock lock(&mu_);
    if (stopped_) return;
    timers_.emplace(TimerKey{at, next_timer_++}, std::move(run));
    wake = wake_;
  }
  wake.request_stop();
}

void ThreadLoop::Stop() {
  std::stop_source wake;
  {
    MutexLock lock(&mu_);
    stopped_ = true;
    wake = wake_;
  }
  wake.request_stop();
  if (thread_.joinable()) thread_.join();
  // Destroyed without the lock: closures may own things that post.
  std::deque<std::function<void()>> ready;
  std::map<TimerKey, std::function<void()>> timers;
  MutexLock lock(&mu_);
  ready.swap(ready_);
  timers.swap(timers_);
}

void ThreadLoop::Run() {
  while (true) {
    absl::Duration wait_until;
    std::stop_token woken;
    if (const std::function<void()> run = Next(wait_until, woken)) {
      run();
    } else if (wait_until == absl::ZeroDuration()) {
      return;
    } else {
      (void)clock_.WaitUntil(wait_until, woken);
    }
  }
}

std::function<void()> ThreadLoop::Next(absl::Duration& wait_until, std::stop_token& woken) {
  const absl::Duration now = clock_.Monotonic();
  MutexLock lock(&mu_);
  std::function<void()> run;
  wait_until = absl::ZeroDuration();
  if (stopped_) return run;
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    ready_.push_back(std::move(timers_.begin()->second));
    timers_.erase(timers_.begin());
  }
  if (!ready_.empty()) {
    run = std::move(ready_.front());
    ready_.pop_front();
    return run;
  }
  wake_ = std::stop_source();
  woken = wake_.get_token();
  wait_until = now + kLongWait;
  if (!timers_.empty()) wait_until = std::min(wait_until, timers_.begin()->first.first);
  return run;
}

}  // namespace vmkeep::controller
