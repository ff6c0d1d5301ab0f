#include "tests/simulation/world.h"

#include "tests/simulation/uuid.h"

#include "absl/strings/str_cat.h"

#include <utility>

namespace vmkeep::sim {

World::World(uint64_t seed, Mutant mutant, const Scene& the_scene)
    : base(seed, mutant), scene(the_scene) {
  ResetUuids();
  for (int slot = 1; slot <= 2; ++slot) {
    repositories.push_back(std::make_unique<Nas>());
    repositories.back()->id = absl::StrCat("repository-", slot);
    repositories.back()->slot = slot;
    // Somebody else's: nothing of ours may touch it.
    repositories.back()->incoming["foreign.1"].task = "foreign.1";
  }
  for (int i = 0; i < scene.hosts; ++i) {
    auto& machine =
        *machines.emplace_back(std::make_unique<Machine>(base, absl::StrCat("host-", i)));
    machine.wire.executor_id = absl::StrCat("executor-", i);
    machine.host.overlays["/vm/somebody.vmkeep-foreign.qcow2"] = {};
    for (int v = 0; v < scene.vms_per_host; ++v) {
      VmModel vm;
      vm.uuid = absl::StrCat("vm-", i, "-", v);
      vm.name = vm.uuid;
      vm.definition = absl::StrCat("<", vm.uuid, "/>");
      vm.on = !base.random.Chance(0.2);
      for (int d = 0; d < scene.disks_per_vm; ++d) {
        DiskModel disk;
        disk.target = absl::StrCat("vd", std::string(1, static_cast<char>('a' + d)));
        vm.disks.push_back(std::move(disk));
      }
      machine.host.vms[vm.uuid] = std::move(vm);
    }
  }
}

// Processes before what they work with.
World::~World() {
  controller.reset();
  for (const auto& machine : machines) machine->executor.reset();
}

void World::Begin() {
  for (const auto& machine : machines) {
    StartExecutor(*machine);
    for (const auto& [uuid, vm] : machine->host.vms) GuestsGoOn(*machine, uuid);
  }
  StartController();
  for (const auto& machine : machines) controller->RegisterHost(machine->host.id);
}

void World::GuestsGoOn(Machine& machine, const std::string& uuid) {
  base.time.After(
      base.random.Between(absl::Milliseconds(200), absl::Seconds(12)), [this, &machine, uuid] {
        VmModel& vm = machine.host.vms.at(uuid);
        machine.host.GuestWrites(vm, base.random.Below(static_cast<int>(vm.disks.size())),
                                 base.random.Below(kBlocks));
        GuestsGoOn(machine, uuid);
      });
}

void World::StartController() {
  if (controller != nullptr) return;
  base.trace.Add("controller", "starts");
  controller = std::make_unique<ControllerModel>(
      base, store,
      [this](const std::string& address)
          -> absl::StatusOr<std::shared_ptr<controller::ExecutorClient>> {
        for (const auto& machine : machines) {
          if (machine->host.id == address) return machine->wire.Dial();
        }
        return absl::InvalidArgumentError(address);
      },
      [this](const controller::BackupRecord& record) { committed(record); });
}

void World::KillController() {
  if (controller == nullptr) return;
  base.trace.Fault("controller", "kill -9");
  controller.reset();
}

void World::StartExecutor(Machine& machine) {
  if (machine.executor != nullptr || !machine.host.up) return;
  base.trace.Add(machine.host.id, "executor starts");
  std::map<int, Nas*> mounted;
  for (const auto& nas : repositories) mounted[nas->slot] = nas.get();
  machine.executor = std::make_unique<ExecutorModel>(
      ExecutorEnv{base, machine.host, machine.journal, std::move(mounted),
                  [this, &machine](const std::string& where) {
                    if (!executor_dies(machine, where)) return false;
                    base.trace.Fault(machine.host.id, absl::StrCat("executor dies ", where));
                    return true;
                  },
                  [this, &machine] {
                    base.time.After(absl::ZeroDuration(), [this, &machine] {
                      if (machine.executor != nullptr && machine.executor->dead())
                        KillExecutor(machine);
                    });
                  },
                  [this, &machine](const std::string& deed, const executor::TaskRecord& task) {
                    acts(machine, deed, task);
                  },
                  [&machine] { machine.wire.Told(); }});
  PartsMoved(machine);
}

void World::KillExecutor(Machine& machine) {
  if (machine.executor == nullptr) return;
  base.trace.Add(machine.host.id, "executor is gone");
  machine.executor.reset();
  machine.wire.ExecutorDied();
  base.time.After(base.random.Between(absl::Seconds(1), absl::Seconds(40)),
                  [this, &machine] { StartExecutor(machine); });
}

void World::RebootHost(Machine& machine, absl::Duration down) {
  if (!machine.host.up) return;
  base.trace.Fault(machine.host.id, "power cut");
  machine.host.GoDown();
  if (machine.executor != nullptr) {
    machine.executor.reset();
    machine.wire.ExecutorDied();
  }
  base.time.After(down, [this, &machine] {
    base.trace.Add(machine.host.id, "is up");
    machine.host.up = true;
    SetLibvirt(machine, true);
    StartExecutor(machine);
  });
}

void World::SetLibvirt(Machine& machine, bool up) {
  machine.host.libvirt_up = up && machine.host.up;
  PartsMoved(machine);
}

void World::PartsMoved(Machine& machine) {
  if (machine.whole()) machine.parts_back = base.time.now();
}

}  // namespace vmkeep::sim
