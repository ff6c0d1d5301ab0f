#ifndef VMKEEP_TESTS_SIMULATION_SIMULATION_H_
#define VMKEEP_TESTS_SIMULATION_SIMULATION_H_

#include "tests/simulation/trace.h"
#include "tests/simulation/world.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace vmkeep::sim {

struct Run {
  uint64_t seed = 0;
  Mutant mutant = Mutant::kNone;
  bool faults = true;
};

struct Outcome {
  std::vector<Wrong> wrong;  // empty: everything held
  std::vector<std::string> trace;
  int64_t steps = 0;
  std::map<std::string, int> ended;  // records by state
};

// One simulation: about fifteen minutes of work and trouble, then everything is mended and has to
// come to rest within two hours of virtual time. In one thread; the same Run gives the same
// Outcome.
Outcome Simulate(const Run& run);

}  // namespace vmkeep::sim

#endif  // VMKEEP_TESTS_SIMULATION_SIMULATION_H_
