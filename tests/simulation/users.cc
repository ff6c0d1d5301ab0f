#include "tests/simulation/users.h"

#include "absl/strings/str_cat.h"

#include <iterator>
#include <utility>

namespace vmkeep::sim {

void Users::Next() {
  Base& base = world_.base;
  base.time.After(base.random.Between(absl::Seconds(1), absl::Seconds(60)), [this] {
    if (stopped_) return;
    if (world_.controller != nullptr) Act();
    Next();
  });
}

void Users::Act() {
  Random& random = world_.base.random;
  const int dice = random.Below(100);
  if (dice < 50 || world_.scene.sick) {
    requests_.push_back(NewRequest());
    return Create(requests_.back());
  }
  if (dice < 65 && !requests_.empty()) {
    return Create(requests_[random.Below(static_cast<int>(requests_.size()))]);
  }
  if (dice < 85) {
    const auto id = AnyBackup();
    if (!id) return;
    world_.base.trace.Add("user", absl::StrCat("scrubs ", *id));
    scrubbed_.insert(*id);
    return world_.controller->Scrub(*id, [](const auto&) {});
  }
  if (dice < 95) {
    const auto id = AnyBackup();
    if (!id) return;
    world_.base.trace.Add("user", absl::StrCat("retries ", *id));
    return world_.controller->Retry(*id, [](const auto&) {});
  }
  const auto& machine = world_.machines[random.Below(static_cast<int>(world_.machines.size()))];
  world_.controller->SetDraining(machine->host.id, random.Chance(0.5));
}

controller::CreateInput Users::NewRequest() {
  Random& random = world_.base.random;
  const auto& machine = world_.machines[random.Below(static_cast<int>(world_.machines.size()))];
  controller::CreateInput input;
  input.vm =
      std::next(machine->host.vms.begin(), random.Below(static_cast<int>(machine->host.vms.size())))
          ->first;
  input.name = absl::StrCat("backup-", ++number_);
  input.repository = random.Below(3);
  input.request_id = absl::StrCat("request-", number_);
  input.request_digest = input.request_id;
  return input;
}

void Users::Create(const controller::CreateInput& input) {
  controller::CreateInput sent = input;
  // The defect: what the user sends a second time is not known again.
  if (world_.base.mutant == Mutant::kForgetsRequestIds) {
    sent.request_id = sent.name = absl::StrCat(input.request_id, "-", ++number_);
  }
  world_.base.trace.Add(
      "user", absl::StrCat("creates ", input.name, " of ", input.vm, " in ", input.repository));
  world_.controller->Create(sent, [this,
                                   input](const absl::StatusOr<controller::BackupRecord>& made) {
    if (!made.ok()) return;
    const auto [known, first] = promises_.try_emplace(
        input.request_id, Promise{made->id, input.vm, input.repository, world_.base.time.now()});
    if (first || known->second.id == made->id) return;
    world_.base.trace.Report(
        "I6", absl::StrCat(input.request_id, " made ", known->second.id, " and ", made->id));
  });
}

std::optional<controller::BackupId> Users::AnyBackup() {
  const auto& records = world_.records();
  if (records.empty()) return std::nullopt;
  return std::next(records.begin(), world_.base.random.Below(static_cast<int>(records.size())))
      ->first;
}

}  // namespace vmkeep::sim
