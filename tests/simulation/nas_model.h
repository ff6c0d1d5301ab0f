#ifndef VMKEEP_TESTS_SIMULATION_NAS_MODEL_H_
#define VMKEEP_TESTS_SIMULATION_NAS_MODEL_H_

#include "tests/simulation/trace.h"

#include "absl/status/status.h"
#include "absl/time/time.h"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace vmkeep::sim {

// A disk's content: of each block the number of the guest's write that it holds.
inline constexpr int kBlocks = 6;
using Blocks = std::array<int64_t, kBlocks>;

// A folder of a backup: below .incoming, published, or below .scrub.
struct Folder {
  std::string task;                     // "<task>.<epoch>" that made it
  std::map<std::string, Blocks> disks;  // by target; as far as copied
  std::map<std::string, int> copied;    // blocks that are there
  std::vector<std::string> manifest;    // the targets that it promises; empty: none was written
};

// One repository, which every host has mounted. Operations are what a worker does in one go; each
// may fail, hang, or be cut off by the worker's end.
struct Nas {
  std::string id;  // the marker's
  int slot = 0;
  std::map<std::string, Folder> incoming;   // by "<task>.<epoch>"
  std::map<std::string, Folder> published;  // by backup
  std::map<std::string, Folder> scrub;      // by backup

  bool full = false;  // writes: ENOSPC
  bool eio = false;   // everything: EIO
  bool hung = false;  // nothing returns
  bool gone = false;  // not mounted: the marker is absent

  // OK, or why an operation of a worker fails now; not for a hung one.
  absl::Status Check(bool writes) const;
  int64_t free_bytes() const {
    return full ? 0 : 900 - 10 * static_cast<int64_t>(published.size());
  }
};

// How long a worker's call may take, as in executor/task/environment.h.
struct WorkerLimits {
  absl::Duration deadline = absl::Minutes(5);
  absl::Duration stall = absl::InfiniteDuration();  // without a byte moved
};

// A worker's call, on a fiber: `work` happens at one instant, unless the repository fails or hangs.
// `cancelled` is asked while it waits. CANCELLED, DEADLINE_EXCEEDED: then it never happens.
absl::Status OnNas(Base& base, Nas& nas, bool writes, const WorkerLimits& limits,
                   const std::function<bool()>& cancelled,
                   const std::function<absl::Status()>& work);

}  // namespace vmkeep::sim

#endif  // VMKEEP_TESTS_SIMULATION_NAS_MODEL_H_
