#ifndef VMKEEP_TESTS_SIMULATION_UUID_H_
#define VMKEEP_TESTS_SIMULATION_UUID_H_

namespace vmkeep::sim {

// Ids are counted anew: at the start of each simulation.
void ResetUuids();

}  // namespace vmkeep::sim

#endif  // VMKEEP_TESTS_SIMULATION_UUID_H_
