#ifndef VMKEEP_TESTS_SIMULATION_FAULTS_H_
#define VMKEEP_TESTS_SIMULATION_FAULTS_H_

#include "tests/simulation/world.h"

#include "absl/time/time.h"

#include <functional>
#include <string>

namespace vmkeep::sim {

// What goes wrong, as the seed decides: each kind is on or off for the whole run, so that some runs
// are full of trouble and others have one kind of it.
class Faults {
 public:
  // Without faults: `kinds` false.
  Faults(World& world, bool kinds);

  void Begin();
  // After each step: a controller may die between any two.
  void AfterStep();
  // No more of it, and everything is mended.
  void Heal();

 private:
  // `act` again and again, `every` on average, until Heal().
  void Repeat(absl::Duration every, std::function<void()> act);
  // For a while, then `undo`.
  void For(absl::Duration shortest, absl::Duration longest, std::function<void()> undo);
  Machine& AnyMachine();
  Nas& AnyRepository();
  void BeginSick();
  void BeginHosts();
  void BouncePower(Machine& machine);
  void BeginRepositories();
  void BeginDisks();

  World& world_;
  bool active_ = false;
  bool on_[12] = {};
  double executor_dies_ = 0;
  double controller_dies_ = 0;
};

}  // namespace vmkeep::sim

#endif  // VMKEEP_TESTS_SIMULATION_FAULTS_H_
