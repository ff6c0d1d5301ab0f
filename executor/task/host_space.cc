#include "executor/task/host_space.h"

#include "common/status_macros.h"
#include "executor/task/errors.h"

#include "absl/strings/str_cat.h"
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <map>

namespace vmkeep::executor {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

absl::StatusOr<int64_t> FreeBytesOfHost(const std::string& folder) {
  struct statvfs found = {};
  if (statvfs(folder.c_str(), &found) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("ask for the free space of ", folder));
  }
  return static_cast<int64_t>(found.f_bavail) * static_cast<int64_t>(found.f_frsize);
}

int64_t OverlayReserve(int64_t virtual_bytes, int64_t configured) {
  return configured > 0 ? configured : std::clamp(virtual_bytes / 20, kGiB, 16 * kGiB);
}

std::vector<OverlayRoom> RoomsOf(const std::vector<Disk>& disks, int64_t configured_reserve) {
  std::map<uint64_t, OverlayRoom> rooms;
  for (const Disk& disk : disks) {
    OverlayRoom& room = rooms[disk.dev];
    room.dev = disk.dev;
    room.folder = FolderOf(disk.source);
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

}  // namespace vmkeep::executor
