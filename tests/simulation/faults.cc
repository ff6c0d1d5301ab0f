#include "tests/simulation/faults.h"

#include "absl/strings/str_cat.h"

#include <iterator>
#include <utility>

namespace vmkeep::sim {
namespace {

enum Kind {
  kExecutorDies,
  kControllerDies,
  kHostReboots,
  kNetworkCut,
  kNetworkSlow,
  kNasFull,
  kNasFails,
  kNasHangs,
  kNasGone,
  kDisksFail,  // of the journals and of the store
  kLibvirtAndPower,
  kClockJumps,
};

}  // namespace

Faults::Faults(World& world, bool kinds) : world_(world) {
  Random& random = world_.base.random;
  for (bool& on : on_) on = kinds && random.Chance(0.4);
  if (on_[kExecutorDies]) executor_dies_ = random.Chance(0.5) ? 0.004 : 0.03;
  if (on_[kControllerDies]) controller_dies_ = random.Chance(0.5) ? 0.0005 : 0.003;
}

void Faults::Begin() {
  active_ = true;
  if (world_.scene.sick) return BeginSick();
  world_.executor_dies = [this](Machine& machine, const std::string&) {
    if (active_ && on_[kLibvirtAndPower]) BouncePower(machine);
    return active_ && executor_dies_ > 0 && world_.base.random.Chance(executor_dies_);
  };
  BeginHosts();
  BeginRepositories();
  BeginDisks();
}

// One part hangs from now on and for good.
void Faults::BeginSick() {
  const bool repository = world_.base.random.Chance(0.5);
  world_.base.trace.Fault("sick", repository ? "repository-1 hangs" : "host-0 does not answer");
  world_.sick_repository = repository;
  if (repository) world_.repositories[0]->hung = true;
  for (const auto& machine : world_.machines) {
    const bool sick = !repository && machine == world_.machines.front();
    machine->wire.SetSilent(sick || world_.base.mutant == Mutant::kHungHostStopsAll);
  }
}

void Faults::BeginHosts() {
  Random& random = world_.base.random;
  if (on_[kHostReboots]) {
    Repeat(absl::Minutes(6), [this, &random] {
      world_.RebootHost(AnyMachine(), random.Between(absl::Seconds(20), absl::Minutes(4)));
    });
  }
  if (on_[kNetworkCut]) {
    Repeat(absl::Minutes(2), [this] {
      Machine& machine = AnyMachine();
      if (machine.wire.cut()) return;
      world_.base.trace.Fault(machine.host.id, "network cut");
      machine.wire.SetCut(true);
      For(absl::Milliseconds(10), absl::Minutes(2), [&machine] { machine.wire.SetCut(false); });
    });
  }
  if (on_[kNetworkSlow]) {
    for (const auto& machine : world_.machines) {
      machine->wire.longest_delay = random.Between(absl::Milliseconds(100), absl::Seconds(25));
      machine->wire.duplicates = 0.3;
    }
  }
  if (!on_[kLibvirtAndPower]) return;
  Repeat(absl::Minutes(3), [this] {
    Machine& machine = AnyMachine();
    if (!machine.host.libvirt_up) return;
    world_.base.trace.Fault(machine.host.id, "libvirtd is gone");
    world_.SetLibvirt(machine, false);
    For(absl::Seconds(1), absl::Minutes(1), [this, &machine] { world_.SetLibvirt(machine, true); });
  });
  Repeat(absl::Seconds(30), [this, &random] {
    Machine& machine = AnyMachine();
    auto& vms = machine.host.vms;
    VmModel& vm = std::next(vms.begin(), random.Below(static_cast<int>(vms.size())))->second;
    world_.base.trace.Fault(vm.uuid, vm.on ? "goes off" : "goes on");
    vm.on ? machine.host.PowerOff(vm) : machine.host.PowerOn(vm);
  });
}

// A VM that is off is started, written to and stopped, all between two commands of its executor.
void Faults::BouncePower(Machine& machine) {
  Random& random = world_.base.random;
  for (auto& [uuid, vm] : machine.host.vms) {
    if (vm.on || !machine.host.libvirt_up || !random.Chance(0.03)) continue;
    world_.base.trace.Fault(uuid, "goes on and off again");
    machine.host.PowerOn(vm);
    for (size_t disk = 0; disk < vm.disks.size(); ++disk) {
      machine.host.GuestWrites(vm, static_cast<int>(disk), random.Below(kBlocks));
    }
    machine.host.PowerOff(vm);
  }
}

void Faults::BeginRepositories() {
  const auto sometimes = [this](Kind kind, bool Nas::* what, const std::string& text) {
    if (!on_[kind]) return;
    Repeat(absl::Minutes(3), [this, what, text] {
      Nas& nas = AnyRepository();
      if (nas.*what) return;
      world_.base.trace.Fault(nas.id, text);
      nas.*what = true;
      For(absl::Seconds(1), absl::Minutes(5), [this, &nas, what, text] {
        world_.base.trace.Add(nas.id, absl::StrCat("mended: ", text));
        nas.*what = false;
      });
    });
  };
  sometimes(kNasFull, &Nas::full, "is full");
  sometimes(kNasFails, &Nas::eio, "gives EIO");
  sometimes(kNasHangs, &Nas::hung, "hangs");
  sometimes(kNasGone, &Nas::gone, "is not mounted");
}

void Faults::BeginDisks() {
  if (on_[kDisksFail]) {
    Repeat(absl::Minutes(2), [this] {
      Machine& machine = AnyMachine();
      world_.base.trace.Fault(machine.host.id, "the journal cannot be written");
      machine.journal.failing = true;
      For(absl::Milliseconds(10), absl::Minutes(1),
          [&machine] { machine.journal.failing = false; });
    });
    Repeat(absl::Minutes(4), [this] {
      world_.base.trace.Fault("controller", "the store cannot be written");
      world_.store.failing = true;
      For(absl::Milliseconds(10), absl::Minutes(1), [this] { world_.store.failing = false; });
    });
  }
  if (on_[kClockJumps]) {
    Repeat(absl::Minutes(4), [this] {
      const absl::Duration by = world_.base.random.Between(-absl::Hours(30), absl::Hours(30));
      world_.base.trace.Fault("clock", absl::StrCat("jumps by ", absl::FormatDuration(by)));
      world_.base.time.JumpWall(by);
    });
  }
}

void Faults::AfterStep() {
  if (!active_ || world_.scene.sick || controller_dies_ <= 0 || world_.controller == nullptr)
    return;
  if (!world_.base.random.Chance(controller_dies_)) return;
  world_.KillController();
  world_.base.time.After(world_.base.random.Between(absl::Milliseconds(100), absl::Seconds(30)),
                         [this] { world_.StartController(); });
}

void Faults::Heal() {
  active_ = false;
  world_.base.trace.Add("faults", "are over");
  for (const auto& nas : world_.repositories) nas->full = nas->eio = nas->hung = nas->gone = false;
  world_.store.failing = false;
  for (const auto& machine : world_.machines) {
    machine->journal.failing = false;
    machine->wire.SetCut(false);
    machine->wire.SetSilent(false);
    machine->wire.longest_delay = absl::Milliseconds(20);
    if (machine->host.up) world_.SetLibvirt(*machine, true);
  }
  if (world_.controller == nullptr) world_.StartController();
}

void Faults::Repeat(absl::Duration every, std::function<void()> act) {
  world_.base.time.After(world_.base.random.Between(every * 0.2, every * 1.8),
                         [this, every, act = std::move(act)] {
                           if (!active_) return;
                           act();
                           Repeat(every, act);
                         });
}

void Faults::For(absl::Duration shortest, absl::Duration longest, std::function<void()> undo) {
  world_.base.time.After(world_.base.random.Between(shortest, longest), std::move(undo));
}

Machine& Faults::AnyMachine() {
  return *world_.machines[world_.base.random.Below(static_cast<int>(world_.machines.size()))];
}
Nas& Faults::AnyRepository() {
  return *world_
              .repositories[world_.base.random.Below(static_cast<int>(world_.repositories.size()))];
}

}  // namespace vmkeep::sim
