#include "executor/worker/copy_source.h"

#include "common/status_macros.h"
#include "executor/worker/errors.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace vmkeep::worker {
namespace {

// QEMU's image locks (block/file-posix.c): whoever may write holds a shared lock on byte 100 + 1,
// the bit of BLK_PERM_WRITE.
constexpr off_t kQemuWriteLockByte = 101;

// The kernel cuts a request to read ahead to the device's largest transfer, so it is made in small
// ones.
constexpr int64_t kPrefetchStep = int64_t{512} << 10;

}  // namespace

absl::StatusOr<CopySource> CopySource::Open(const std::string& path) {
  if (path.empty() || path[0] != '/')
    return error::SourceUnusable(path, "the path is not absolute");
  // O_NONBLOCK: opening a pipe would wait. It means nothing to files and block devices.
  fs::Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return error::SourceUnusable(path, std::strerror(errno));
  CopySource source(path, std::move(fd));
  VMKEEP_RETURN_IF_ERROR(source.CheckNotWritten());
  if (fdatasync(source.fd_.get()) != 0 && errno != EINVAL && errno != EROFS) {
    return error::SourceReadError(path, 0, errno);
  }
  VMKEEP_RETURN_IF_ERROR(source.Observe());
  return source;
}

absl::Status CopySource::Observe() {
  if (fstat(fd_.get(), &found_) != 0) return error::SourceReadError(path_, 0, errno);
  if (S_ISREG(found_.st_mode)) {
    bytes_ = found_.st_size;
    return absl::OkStatus();
  }
  if (!S_ISBLK(found_.st_mode))
    return error::SourceUnusable(path_, "it is neither a file nor a block device");
  uint64_t bytes = 0;
  if (ioctl(fd_.get(), BLKGETSIZE64, &bytes) != 0) return error::SourceReadError(path_, 0, errno);
  bytes_ = static_cast<int64_t>(bytes);
  return absl::OkStatus();
}

absl::Status CopySource::CheckNotWritten() const {
  // Asked, not taken: a lock of ours would keep the VM's QEMU from merging into this image.
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = kQemuWriteLockByte;
  lock.l_len = 1;
  if (fcntl(fd_.get(), F_OFD_GETLK, &lock) != 0) {
    return error::SourceUnusable(path_,
                                 "its file system cannot tell whether a QEMU process writes to it");
  }
  return lock.l_type == F_UNLCK ? absl::OkStatus() : error::SourceBusy(path_);
}

absl::Status CopySource::ReadAt(int64_t offset, std::span<std::byte> into) const {
  while (!into.empty()) {
    const ssize_t got = pread(fd_.get(), into.data(), into.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return error::SourceReadError(path_, offset, errno);
    if (got == 0) return error::SourceChanged(path_, "it became shorter");
    into = into.subspan(static_cast<size_t>(got));
    offset += got;
  }
  return absl::OkStatus();
}

int64_t CopySource::NextData(int64_t offset) const {
  const off_t data = lseek(fd_.get(), offset, SEEK_DATA);
  if (data >= 0) return std::min<int64_t>(data, bytes_);
  // ENXIO: only a hole is left. Anything else (no holes here, or an error): read it, and let the
  // read tell.
  return errno == ENXIO ? bytes_ : offset;
}

int64_t CopySource::NextHole(int64_t offset) const {
  const off_t hole = lseek(fd_.get(), offset, SEEK_HOLE);
  return hole >= 0 ? std::min<int64_t>(hole, bytes_) : bytes_;
}

void CopySource::Prefetch(int64_t offset, int64_t bytes) const {
  for (int64_t at = 0; at < bytes; at += kPrefetchStep) {
    (void)posix_fadvise(fd_.get(), offset + at, std::min(kPrefetchStep, bytes - at),
                        POSIX_FADV_WILLNEED);
  }
}

void CopySource::Forget(int64_t offset, int64_t bytes) const {
  (void)posix_fadvise(fd_.get(), offset, bytes, POSIX_FADV_DONTNEED);
}

absl::Status CopySource::CheckUnchanged() const {
  VMKEEP_RETURN_IF_ERROR(CheckNotWritten());
  struct stat now{};
  // By its path: a file put in its place is a change too.
  if (stat(path_.c_str(), &now) != 0) return error::SourceChanged(path_, "it was removed");
  if (now.st_dev != found_.st_dev || now.st_ino != found_.st_ino)
    return error::SourceChanged(path_, "it was replaced");
  if (!S_ISREG(found_.st_mode))
    return absl::OkStatus();  // a device's own times say nothing of its content
  if (now.st_size != found_.st_size) return error::SourceChanged(path_, "its size");
  if (now.st_mtim.tv_sec != found_.st_mtim.tv_sec ||
      now.st_mtim.tv_nsec != found_.st_mtim.tv_nsec) {
    return error::SourceChanged(path_, "its time of change");
  }
  return absl::OkStatus();
}

}  // namespace vmkeep::worker
