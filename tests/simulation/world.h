#ifndef VMKEEP_TESTS_SIMULATION_WORLD_H_
#define VMKEEP_TESTS_SIMULATION_WORLD_H_

#include "tests/simulation/controller_model.h"
#include "tests/simulation/executor_model.h"
#include "tests/simulation/host_model.h"
#include "tests/simulation/journal_model.h"
#include "tests/simulation/nas_model.h"
#include "tests/simulation/network.h"
#include "tests/simulation/sim_store.h"
#include "tests/simulation/trace.h"

#include "absl/time/time.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace vmkeep::sim {

// A host, its executor and the way to it.
struct Machine {
  Machine(Base& base, const std::string& id)
      : host(base, id), journal(base), wire(base, id, journal, [this] {
          return executor != nullptr && !executor->dead() ? executor.get() : nullptr;
        }) {}

  HostModel host;
  JournalModel journal;
  Wire wire;
  std::unique_ptr<ExecutorModel> executor;  // null: not running
  absl::Duration parts_back;                // since when host, libvirtd and executor all are there

  bool whole() const {
    return host.up && host.libvirt_up && executor != nullptr && !executor->dead();
  }
};

// What a seed decides of the scene.
struct Scene {
  int hosts = 1;
  int vms_per_host = 1;
  int disks_per_vm = 1;
  bool sick = false;  // one part hangs from begin to end, and nothing else happens: I12
};

// Everything that is there, and the processes that come and go.
class World {
 public:
  World(uint64_t seed, Mutant mutant, const Scene& scene);
  ~World();

  Base base;
  const Scene scene;
  bool sick_repository = false;  // of a sick scene: repository 1 hangs; else host-0 does not answer
  StoreDisk store;
  std::vector<std::unique_ptr<Nas>> repositories;  // slot 1 and 2, mounted on every host
  std::vector<std::unique_ptr<Machine>> machines;
  std::unique_ptr<ControllerModel> controller;  // null: not running

  // Set by who looks on; before Begin().
  std::function<bool(Machine&, const std::string& where)> executor_dies =
      [](Machine&, const std::string&) { return false; };
  std::function<void(const Machine&, const std::string& deed, const executor::TaskRecord&)> acts;
  std::function<void(const controller::BackupRecord&)> committed;

  void Begin();
  void StartController();
  void KillController();
  void StartExecutor(Machine& machine);
  void KillExecutor(Machine& machine);
  void RebootHost(Machine& machine, absl::Duration down);
  void SetLibvirt(Machine& machine, bool up);

  const std::map<controller::BackupId, controller::BackupRecord>& records() const {
    return store.content.backups;
  }

 private:
  void GuestsGoOn(Machine& machine, const std::string& uuid);
  void PartsMoved(Machine& machine);
};

}  // namespace vmkeep::sim

#endif  // VMKEEP_TESTS_SIMULATION_WORLD_H_
