#ifndef VMKEEP_TESTS_SIMULATION_TIMELINE_H_
#define VMKEEP_TESTS_SIMULATION_TIMELINE_H_

#include "tests/simulation/random.h"

#include "absl/time/time.h"

#include <cstdint>
#include <functional>
#include <map>
#include <tuple>
#include <utility>

namespace vmkeep::sim {

// Virtual time: what is to happen, in its order. Events of one instant come in an order that the
// seed decides.
class Timeline {
 public:
  explicit Timeline(Random& random) : random_(random) {}

  absl::Duration now() const { return now_; }
  absl::Time wall() const { return absl::FromUnixSeconds(1'750'000'000) + now_ + jumped_; }
  void JumpWall(absl::Duration by) { jumped_ += by; }

  void After(absl::Duration delay, std::function<void()> run) {
    events_.emplace(Key{now_ + delay, random_.Next(), next_++}, std::move(run));
  }

  // The next event; false when there is none.
  bool Step() {
    if (events_.empty()) return false;
    auto first = events_.extract(events_.begin());
    now_ = std::get<0>(first.key());
    first.mapped()();
    return true;
  }

 private:
  using Key = std::tuple<absl::Duration, uint64_t, int64_t>;  // when, tie, number

  Random& random_;
  absl::Duration now_ = absl::Hours(1);
  absl::Duration jumped_ = absl::ZeroDuration();
  int64_t next_ = 0;
  std::map<Key, std::function<void()>> events_;
};

}  // namespace vmkeep::sim

#endif  // VMKEEP_TESTS_SIMULATION_TIMELINE_H_
