#ifndef VMKEEP_TESTS_SIMULATION_USERS_H_
#define VMKEEP_TESTS_SIMULATION_USERS_H_

#include "tests/simulation/world.h"

#include "absl/time/time.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace vmkeep::sim {

// People and scripts at the API: they create (repeating a request_id when they got no answer, and
// also when they got one), scrub at any time, retry, and drain hosts.
class Users {
 public:
  explicit Users(World& world) : world_(world) {}

  void Begin() { Next(); }
  void Stop() { stopped_ = true; }

  // For checkers: what was answered.
  struct Promise {
    controller::BackupId id;
    std::string vm;
    int repository = 0;    // asked for
    absl::Duration since;  // of the answer
  };
  const std::map<std::string, Promise>& promises() const { return promises_; }  // by request_id
  const std::set<controller::BackupId>& scrubbed() const { return scrubbed_; }  // asked for

 private:
  void Next();
  void Act();
  void Create(const controller::CreateInput& input);
  controller::CreateInput NewRequest();
  std::optional<controller::BackupId> AnyBackup();

  World& world_;
  bool stopped_ = false;
  int number_ = 0;
  std::vector<controller::CreateInput> requests_;
  std::map<std::string, Promise> promises_;
  std::set<controller::BackupId> scrubbed_;
};

}  // namespace vmkeep::sim

#endif  // VMKEEP_TESTS_SIMULATION_USERS_H_
