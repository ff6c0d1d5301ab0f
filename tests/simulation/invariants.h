#ifndef VMKEEP_TESTS_SIMULATION_INVARIANTS_H_
#define VMKEEP_TESTS_SIMULATION_INVARIANTS_H_

#include "tests/simulation/users.h"
#include "tests/simulation/world.h"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::sim {

// The checkers of design/reliability.md. They look at the whole world at once, also at what no
// process could see. Every one was seen red: the defects of Mutant are put into the models for that
// by simulation_test.cc, each time that it runs.
class Invariants {
 public:
  Invariants(World& world, const Users& users);

  // After each step.
  void AfterStep();
  // Empty once nothing is left to do; else what is, and by which invariant.
  struct Left {
    std::string invariant;
    std::string what;
  };
  Left StillToDo() const;
  // When nothing is left to do.
  void AtRest();

 private:
  bool Moved();
  static Left LeftOn(const Machine& machine);
  void CheckOverlays(Machine& machine);                                    // I1
  void CheckGuests(const Machine& machine);                                // I2
  void CheckPublished(const Nas& nas);                                     // I3
  void CheckRecords();                                                     // I5, I9
  void CheckPromises();                                                    // I6
  void CheckVanished(const Nas& nas);                                      // I8, I9
  void CheckForeign();                                                     // I8
  void CheckOthersGoOn();                                                  // I12
  void OnDeed(const std::string& deed, const executor::TaskRecord& task);  // I7
  bool AnyJournalNames(const std::string& task) const;

  World& world_;
  const Users& users_;
  std::vector<int64_t> looked_at_;
  int64_t deeds_ = 0;                                           // of tasks in repositories
  std::map<std::string, std::map<std::string, Blocks>> taken_;  // task id -> what each disk held
  std::map<std::string, absl::Duration> uncovered_;             // VM -> since when
  std::map<std::string, std::vector<std::string>> incoming_;    // repository -> before this step
  std::map<std::string, std::vector<std::string>> published_;
  std::set<std::string> may_vanish_;  // backups that a task scrubbed
};

}  // namespace vmkeep::sim

#endif  // VMKEEP_TESTS_SIMULATION_INVARIANTS_H_
