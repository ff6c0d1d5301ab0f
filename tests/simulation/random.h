#ifndef VMKEEP_TESTS_SIMULATION_RANDOM_H_
#define VMKEEP_TESTS_SIMULATION_RANDOM_H_

#include "absl/time/time.h"

#include <cstdint>
#include <random>

namespace vmkeep::sim {

// All chance of one simulation. The standard fixes what the engine gives, but not what its
// distributions make of it: those are here.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  uint64_t Next() { return engine_(); }
  // 0 to n-1.
  int Below(int n) { return static_cast<int>(Next() % static_cast<uint64_t>(n)); }
  bool Chance(double p) { return static_cast<double>(Next() >> 11) * 0x1.0p-53 < p; }
  absl::Duration Between(absl::Duration low, absl::Duration high) {
    const int64_t span = absl::ToInt64Microseconds(high - low) + 1;
    return low + absl::Microseconds(static_cast<int64_t>(Next() % static_cast<uint64_t>(span)));
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace vmkeep::sim

#endif  // VMKEEP_TESTS_SIMULATION_RANDOM_H_
