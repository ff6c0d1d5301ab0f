#ifndef VMKEEP_TESTS_SIMULATION_SIM_LOOP_H_
#define VMKEEP_TESTS_SIMULATION_SIM_LOOP_H_

#include "controller/dispatch/loop.h"
#include "tests/simulation/timeline.h"

#include "absl/time/time.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <utility>

namespace vmkeep::sim {

// The controller's loop on the timeline: what is posted runs in the order of posting.
class SimLoop final : public controller::Loop, public std::enable_shared_from_this<SimLoop> {
 public:
  explicit SimLoop(Timeline& time) : time_(time) {}

  void Post(std::function<void()> run) override {
    if (dead_) return;
    ready_.push_back(std::move(run));
    time_.After(absl::ZeroDuration(), [self = shared_from_this()] { self->RunOne(); });
  }
  void PostAfter(absl::Duration delay, std::function<void()> run) override {
    time_.After(std::max(delay, absl::ZeroDuration()),
                [self = weak_from_this(), run = std::move(run)] {
                  if (const auto loop = self.lock()) loop->Post(run);
                });
  }
  // Its process is gone: nothing runs any more.
  void Kill() {
    dead_ = true;
    std::exchange(ready_, {});
  }

 private:
  void RunOne() {
    if (ready_.empty()) return;
    const std::function<void()> run = std::move(ready_.front());
    ready_.pop_front();
    run();
  }

  Timeline& time_;
  bool dead_ = false;
  std::deque<std::function<void()>> ready_;
};

}  // namespace vmkeep::sim

#endif  // VMKEEP_TESTS_SIMULATION_SIM_LOOP_H_
