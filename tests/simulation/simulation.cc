#include "tests/simulation/simulation.h"

#include "controller/domain/states.h"
#include "tests/simulation/faults.h"
#include "tests/simulation/invariants.h"
#include "tests/simulation/users.h"

#include "absl/strings/str_cat.h"

namespace vmkeep::sim {
namespace {

constexpr absl::Duration kLookEvery = absl::Seconds(10);
constexpr absl::Duration kRestWithin = absl::Hours(2);

Scene SceneOf(Random& random, bool faults) {
  Scene scene;
  scene.sick = faults && random.Chance(0.1);
  scene.hosts = scene.sick ? 3 : 1 + random.Below(3);
  scene.vms_per_host = 1 + random.Below(3);
  scene.disks_per_vm = 1 + random.Below(2);
  return scene;
}

// The parts of one simulation, and its course.
class Simulation {
 public:
  Simulation(const Run& run, Random random)
      : scene_(SceneOf(random, run.faults)),
        world_(run.seed, run.mutant, scene_),
        users_(world_),
        faults_(world_, run.faults),
        invariants_(world_, users_) {
    world_.committed = [this](const controller::BackupRecord& record) {
      world_.base.trace.Add(
          "record", absl::StrCat(record.id, " ", StateName(record.state), " ", record.task_id, ".",
                                 record.epoch, record.failure ? " " : "",
                                 record.failure ? record.failure->reason : ""));
    };
  }

  Outcome Course() {
    Base& base = world_.base;
    world_.Begin();
    // Until the hosts are known there is nothing to ask for.
    RunUntil(base.time.now() + absl::Seconds(5));
    users_.Begin();
    faults_.Begin();
    RunUntil(base.time.now() + base.random.Between(absl::Minutes(8), absl::Minutes(20)));
    if (scene_.sick) RunUntil(base.time.now() + absl::Minutes(35));  // I12's bound for the last one
    users_.Stop();
    faults_.Heal();
    for (const auto& machine : world_.machines) {
      if (world_.controller != nullptr) world_.controller->SetDraining(machine->host.id, false);
    }
    ComeToRest();
    invariants_.AtRest();
    return Result();
  }

 private:
  void RunUntil(absl::Duration until) {
    while (world_.base.time.now() < until && world_.base.time.Step()) {
      ++steps_;
      invariants_.AfterStep();
      faults_.AfterStep();
    }
  }

  void ComeToRest() {
    const absl::Duration until = world_.base.time.now() + kRestWithin;
    Invariants::Left left = invariants_.StillToDo();
    while (!left.what.empty() && world_.base.time.now() < until) {
      RunUntil(world_.base.time.now() + kLookEvery);
      left = invariants_.StillToDo();
    }
    if (left.what.empty()) return;
    world_.base.trace.Report(left.invariant,
                             absl::StrCat("two hours after the last fault ", left.what));
  }

  Outcome Result() {
    Outcome outcome;
    outcome.trace = world_.base.trace.lines();
    outcome.wrong = world_.base.trace.wrong();
    outcome.steps = steps_;
    for (const auto& [id, record] : world_.records()) {
      ++outcome.ended[std::string(StateName(record.state))];
    }
    return outcome;
  }

  const Scene scene_;
  World world_;
  Users users_;
  Faults faults_;
  Invariants invariants_;
  int64_t steps_ = 0;
};

}  // namespace

Outcome Simulate(const Run& run) {
  Outcome outcome = Simulation(run, Random(run.seed ^ 0x5ce11e)).Course();
  for (Wrong& wrong : outcome.wrong) wrong.point = absl::StrCat("seed ", run.seed);
  return outcome;
}

}  // namespace vmkeep::sim
