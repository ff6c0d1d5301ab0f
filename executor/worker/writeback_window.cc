#include "executor/worker/writeback_window.h"

#include "common/fs/errors.h"
#include "common/status_macros.h"

#include <fcntl.h>

#include <cerrno>
#include <optional>

namespace vmkeep::worker {
namespace {

absl::Status SyncRange(int fd, std::pair<int64_t, int64_t> range, unsigned int flags) {
  if (sync_file_range(fd, range.first, range.second, flags) == 0) return absl::OkStatus();
  // A file system that cannot: fsync does it all at the end.
  if (errno == EINVAL || errno == ENOSYS || errno == ESPIPE) return absl::OkStatus();
  return fs::error::FromErrno(errno, "cannot write back", "the image");
}

}  // namespace

absl::Status WritebackWindow::Wrote(int64_t offset, int64_t bytes) {
  const std::pair range(offset, bytes);
  VMKEEP_RETURN_IF_ERROR(SyncRange(fd_, range, SYNC_FILE_RANGE_WRITE));
  std::optional<std::pair<int64_t, int64_t>> oldest;
  {
    MutexLock lock(&mu_);
    under_way_.push_back(range);
    if (under_way_.size() > max_ranges_) {
      oldest = under_way_.front();
      under_way_.pop_front();
    }
  }
  if (!oldest) return absl::OkStatus();
  VMKEEP_RETURN_IF_ERROR(
      SyncRange(fd_, *oldest,
                SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
  (void)posix_fadvise(fd_, oldest->first, oldest->second, POSIX_FADV_DONTNEED);
  return absl::OkStatus();
}

}  // namespace vmkeep::worker
