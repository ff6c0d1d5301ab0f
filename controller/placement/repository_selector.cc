#include "controller/placement/repository_selector.h"

#include "controller/domain/errors.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

#include <algorithm>

namespace vmkeep::controller {
namespace {

int64_t Available(const RepositoryCandidate& candidate) {
  return std::max<int64_t>(0, candidate.repository.free_bytes - candidate.reserved_bytes);
}

// The share of the whole that is free after reservations; a size that is not known counts as none.
double FreeShare(const RepositoryCandidate& candidate) {
  if (candidate.repository.total_bytes <= 0) return 0;
  return static_cast<double>(Available(candidate)) /
         static_cast<double>(candidate.repository.total_bytes);
}

std::string InWords(const RepositoryCandidate& candidate) {
  return absl::StrFormat("%s: %.0f %% free after reservations",
                         error::SlotName(candidate.repository.slot), 100 * FreeShare(candidate));
}

// Whether a backup of this size could go there, and why not.
absl::Status Check(const RepositoryCandidate& candidate, int64_t needed_bytes) {
  const RepositoryRecord& repository = candidate.repository;
  const error::RepositoryName name{repository.slot, repository.host_id, repository.path};
  if (repository.health == Health::kUninitialized) return error::RepositoryUninitialized(name);
  if (repository.health == Health::kIll) return error::RepositoryIll(name, repository.message);
  if (repository.health != Health::kHealthy || repository.id.empty()) {
    return error::RepositoryIll(name, "it was not probed yet");
  }
  const int64_t available = Available(candidate);
  if (available < needed_bytes || available == 0)
    return error::RepositoryFull(name, needed_bytes, available);
  return absl::OkStatus();
}

// Passing: time or somebody's scrub may help. A missing marker stays missing.
bool IsPassing(const absl::Status& status) {
  return status.code() != absl::StatusCode::kFailedPrecondition;
}

absl::StatusOr<Placement> Requested(int slot, int64_t needed_bytes,
                                    const std::vector<RepositoryCandidate>& candidates) {
  for (const RepositoryCandidate& candidate : candidates) {
    if (candidate.repository.slot != slot) continue;
    if (absl::Status status = Check(candidate, needed_bytes); !status.ok()) return status;
    return Placement{slot, candidate.repository.id,
                     absl::StrCat(error::SlotName(slot), " was asked for")};
  }
  return error::NoRepository(absl::StrCat("the VM's host reports no ", error::SlotName(slot),
                                          "; mount it there or ask for the other one"),
                             /*passing=*/false);
}

}  // namespace

absl::StatusOr<Placement> SelectRepository(int requested, int64_t needed_bytes,
                                           const std::vector<RepositoryCandidate>& candidates) {
  if (requested != 0) return Requested(requested, needed_bytes, candidates);

  std::vector<const RepositoryCandidate*> usable;
  std::vector<std::string> refusals;
  bool passing = false;
  for (const RepositoryCandidate& candidate : candidates) {
    absl::Status status = Check(candidate, needed_bytes);
    if (status.ok()) {
      usable.push_back(&candidate);
    } else {
      refusals.emplace_back(status.message());
      passing = passing || IsPassing(status);
    }
  }
  if (candidates.empty())
    refusals.push_back("the VM's host reports none; mount one there and initialise it");
  if (usable.empty()) return error::NoRepository(absl::StrJoin(refusals, "; "), passing);

  // The largest share first; of equals the primary, whatever the order they came in.
  std::sort(
      usable.begin(), usable.end(), [](const RepositoryCandidate* a, const RepositoryCandidate* b) {
        const double share_a = FreeShare(*a);
        const double share_b = FreeShare(*b);
        return share_a != share_b ? share_a > share_b : a->repository.slot < b->repository.slot;
      });
  std::vector<std::string> words;
  for (const RepositoryCandidate* candidate : usable) words.push_back(InWords(*candidate));
  for (const std::string& refusal : refusals)
    words.push_back(absl::StrCat("not chosen: ", refusal));
  const RepositoryRecord& chosen = usable.front()->repository;
  return Placement{chosen.slot, chosen.id, absl::StrJoin(words, "; ")};
}

}  // namespace vmkeep::controller
