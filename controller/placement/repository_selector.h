#ifndef VMKEEP_CONTROLLER_PLACEMENT_REPOSITORY_SELECTOR_H_
#define VMKEEP_CONTROLLER_PLACEMENT_REPOSITORY_SELECTOR_H_

#include "controller/domain/inventory.h"

#include "absl/status/statusor.h"

#include <cstdint>
#include <string>
#include <vector>

namespace vmkeep::controller {

struct RepositoryCandidate {
  RepositoryRecord repository;
  int64_t reserved_bytes = 0;  // promised to unfinished backups, on this repository by UUID
};

struct Placement {
  int slot = 0;
  std::string repository_id;
  std::string reason;  // in words, for the record
};

// Pure. `requested` 1 or 2 is honoured or refused with the reason; 0 takes the healthy one with the
// largest free share after reservations. `candidates` are those of the VM's host.
// REPOSITORY_UNINITIALIZED, REPOSITORY_ILL, REPOSITORY_FULL, or NO_REPOSITORY when none of two can
// be used.
absl::StatusOr<Placement> SelectRepository(int requested, int64_t needed_bytes,
                                           const std::vector<RepositoryCandidate>& candidates);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_PLACEMENT_REPOSITORY_SELECTOR_H_
