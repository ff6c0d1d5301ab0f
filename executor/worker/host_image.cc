#include "executor/worker/host_image.h"

#include "common/status_macros.h"
#include "executor/worker/errors.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace vmkeep::worker {
namespace {

// QEMU's image locks (block/file-posix.c): whoever may write holds a shared lock on byte 100 + 1,
// the bit of BLK_PERM_WRITE.
constexpr off_t kQemuWriteLockByte = 101;

}  // namespace

absl::StatusOr<HostImage> HostImage::Open(const std::string& path) {
  if (path.empty() || path[0] != '/')
    return error::SourceUnusable(path, "the path is not absolute");
  // O_NONBLOCK: opening a pipe would wait. It means nothing to files and block devices.
  fs::Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return error::SourceUnusable(path, std::strerror(errno));
  HostImage image(path, std::move(fd));
  VMKEEP_RETURN_IF_ERROR(image.CheckNotWritten());
  if (fdatasync(image.fd()) != 0 && errno != EINVAL && errno != EROFS) {
    return error::SourceReadError(path, 0, errno);
  }
  VMKEEP_RETURN_IF_ERROR(image.Observe());
  return image;
}

absl::Status HostImage::Observe() {
  if (fstat(fd(), &found_) != 0) return error::SourceReadError(path_, 0, errno);
  if (S_ISREG(found_.st_mode)) {
    bytes_ = found_.st_size;
    return absl::OkStatus();
  }
  if (!S_ISBLK(found_.st_mode))
    return error::SourceUnusable(path_, "it is neither a file nor a block device");
  uint64_t bytes = 0;
  if (ioctl(fd(), BLKGETSIZE64, &bytes) != 0) return error::SourceReadError(path_, 0, errno);
  bytes_ = static_cast<int64_t>(bytes);
  return absl::OkStatus();
}

absl::Status HostImage::CheckNotWritten() const {
  // Asked, not taken: a lock of ours would keep the VM's QEMU from merging into this image.
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = kQemuWriteLockByte;
  lock.l_len = 1;
  if (fcntl(fd(), F_OFD_GETLK, &lock) != 0) {
    return error::SourceUnusable(path_,
                                 "its file system cannot tell whether a QEMU process writes to it");
  }
  return lock.l_type == F_UNLCK ? absl::OkStatus() : error::SourceBusy(path_);
}

absl::Status HostImage::CheckUnchanged() const {
  VMKEEP_RETURN_IF_ERROR(CheckNotWritten());
  struct stat now{};
  // By its path: a file put in its place is a change too.
  if (stat(path_.c_str(), &now) != 0) return error::SourceChanged(path_, "it was removed");
  if (!S_ISREG(found_.st_mode)) {
    // The device counts, not the node that names it: udev makes nodes anew. A device's own times
    // say nothing of its content.
    const bool same = S_ISBLK(now.st_mode) && now.st_rdev == found_.st_rdev;
    if (!same) return error::SourceChanged(path_, "it is another device");
    uint64_t bytes = 0;
    if (ioctl(fd(), BLKGETSIZE64, &bytes) != 0) return error::SourceReadError(path_, 0, errno);
    return static_cast<int64_t>(bytes) == bytes_ ? absl::OkStatus()
                                                 : error::SourceChanged(path_, "its size");
  }
  if (now.st_dev != found_.st_dev || now.st_ino != found_.st_ino)
    return error::SourceChanged(path_, "it was replaced");
  if (now.st_size != found_.st_size) return error::SourceChanged(path_, "its size");
  if (now.st_mtim.tv_sec != found_.st_mtim.tv_sec ||
      now.st_mtim.tv_nsec != found_.st_mtim.tv_nsec) {
    return error::SourceChanged(path_, "its time of change");
  }
  return absl::OkStatus();
}

}  // namespace vmkeep::worker
