#ifndef VMKEEP_EXECUTOR_TASK_HOST_SPACE_H_
#define VMKEEP_EXECUTOR_TASK_HOST_SPACE_H_

#include "executor/task/environment.h"

#include "absl/status/status.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

// Room on the host for the guest's writes while its disks are copied.
namespace vmkeep::executor {

// The bytes to keep free for `virtual_bytes` of disks.
int64_t OverlayReserve(int64_t virtual_bytes, int64_t configured);

// Where a task's overlay of a disk goes: beside its image, or into `overlay_dir` for a block
// device.
std::string OverlayFor(const Disk& disk, const std::string& vm_uuid, const std::string& task_id,
                       const std::string& overlay_dir);

// One file system that overlays will lie on.
struct OverlayRoom {
  uint64_t dev = 0;
  std::string folder;         // of one of the overlays there
  int64_t reserve_bytes = 0;  // that must be free before the snapshot
};
std::vector<OverlayRoom> RoomsOf(const std::vector<Disk>& disks, int64_t configured_reserve,
                                 const std::string& overlay_dir);

// Of the reserve: what is left when a copy is given up is for the merge, which is helped then.
inline constexpr double kWatermark = 0.5;

// Whether each room has `share` of its reserve. RESOURCE_EXHAUSTED, OVERLAY_SPACE.
absl::Status CheckRooms(const std::vector<OverlayRoom>& rooms, double share,
                        const FreeSpace& free_space);

// Asks the same of the overlays of these disks, at the watermark. `env` outlives it.
std::function<absl::Status()> RoomCheck(const Environment& env, const std::vector<Disk>& disks);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_HOST_SPACE_H_
