#include "executor/task/host_space.h"

#include "common/fs/files.h"
#include "common/status_macros.h"
#include "executor/task/errors.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <map>

namespace vmkeep::executor {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

// 0 when it is not there, and then its free space cannot be asked for either.
uint64_t FileSystemOf(const std::string& folder) {
  const absl::StatusOr<fs::FileInfo> found = fs::GetHostInfo(folder);
  return found.ok() ? found->device : 0;
}

}  // namespace

absl::StatusOr<int64_t> FreeBytesOfHost(const std::string& folder) {
  VMKEEP_ASSIGN_OR_RETURN(const fs::Space space, fs::GetHostSpace(folder));
  return space.free_bytes;
}

int64_t OverlayReserve(int64_t virtual_bytes, int64_t configured) {
  return configured > 0 ? configured : std::clamp(virtual_bytes / 20, kGiB, 16 * kGiB);
}

std::string OverlayFor(const Disk& disk, const std::string& vm_uuid, const std::string& task_id,
                       const std::string& overlay_dir) {
  if (!disk.block_device) return OverlayPath(disk.source, task_id);
  // Two devices of a VM may have the same name, in other folders.
  return OverlayPath(absl::StrCat(overlay_dir, "/", vm_uuid, "-", disk.target), task_id);
}

std::vector<OverlayRoom> RoomsOf(const std::vector<Disk>& disks, int64_t configured_reserve,
                                 const std::string& overlay_dir) {
  std::map<uint64_t, OverlayRoom> rooms;
  for (const Disk& disk : disks) {
    const uint64_t dev = disk.block_device ? FileSystemOf(overlay_dir) : disk.dev;
    OverlayRoom& room = rooms[dev];
    room.dev = dev;
    room.folder = disk.block_device ? overlay_dir : FolderOf(disk.source);
    room.reserve_bytes += disk.virtual_bytes;  // first the sum, below what it calls for
  }
  std::vector<OverlayRoom> list;
  for (auto& [dev, room] : rooms) {
    room.reserve_bytes = OverlayReserve(room.reserve_bytes, configured_reserve);
    list.push_back(std::move(room));
  }
  return list;
}

absl::Status CheckRooms(const std::vector<OverlayRoom>& rooms, double share,
                        const FreeSpace& free_space) {
  for (const OverlayRoom& room : rooms) {
    VMKEEP_ASSIGN_OR_RETURN(const int64_t free, free_space(room.folder));
    const auto needed = static_cast<int64_t>(static_cast<double>(room.reserve_bytes) * share);
    if (free < needed) return error::OverlaySpace(room.folder, needed, free);
  }
  return absl::OkStatus();
}

std::function<absl::Status()> RoomCheck(const Environment& env, const std::vector<Disk>& disks) {
  return
      [&env, rooms = RoomsOf(disks, env.options.overlay_reserve_bytes, env.options.overlay_dir)] {
        return CheckRooms(rooms, kWatermark, env.free_space);
      };
}

}  // namespace vmkeep::executor
