#include "tests/simulation/sim_store.h"

#include "absl/status/status.h"

namespace vmkeep::sim {

using controller::BackupRecord;

void SimStore::Commit(Mutation mutation, Done done) {
  queue_.push_back({std::move(mutation), std::move(done)});
  if (std::exchange(busy_, true)) return;
  base_.time.After(base_.random.Between(absl::Microseconds(50), absl::Milliseconds(5)),
                   [this, alive = std::weak_ptr<bool>(alive_)] {
                     if (!alive.expired()) Write();
                   });
}

// One transaction for all that wait. The disk changes at once; whoever asked hears of it later, or
// never.
void SimStore::Write() {
  std::vector<std::function<void()>> answers;
  controller::test::MemoryStoreContent next = disk_.content;
  for (const Asked& asked : std::exchange(queue_, {})) {
    std::vector<BackupRecord> put;
    absl::StatusOr<std::vector<BackupRecord>> result =
        disk_.failing ? absl::UnavailableError("the store's disk fails")
                      : Mutate(next, base_.clock, asked.mutation, put);
    answers.emplace_back(
        [this, result = std::move(result), put = std::move(put), done = asked.done] {
          if (!put.empty() && observer_) observer_(put);
          done(result);
        });
  }
  disk_.content = std::move(next);
  base_.time.After(base_.random.Between(absl::Microseconds(10), absl::Milliseconds(2)),
                   [this, alive = std::weak_ptr<bool>(alive_), answers = std::move(answers)] {
                     if (!alive.expired()) Answer(answers);
                   });
}

void SimStore::Answer(const std::vector<std::function<void()>>& answers) {
  busy_ = false;
  if (!queue_.empty()) {
    std::vector<Asked> waiting = std::exchange(queue_, {});
    for (Asked& asked : waiting) Commit(std::move(asked.mutation), std::move(asked.done));
  }
  for (const auto& answer : answers) answer();
}

}  // namespace vmkeep::sim
