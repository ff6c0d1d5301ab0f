#ifndef VMKEEP_EXECUTOR_WORKER_HOST_IMAGE_H_
#define VMKEEP_EXECUTOR_WORKER_HOST_IMAGE_H_

#include "common/fs/fd.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <utility>

namespace vmkeep::worker {

// A file or block device of the host, opened for reading, with the proof that nobody writes to it.
// Thread-safe: it has no state but its descriptor, and no position.
class HostImage {
 public:
  // A regular file or a block device. Proves that no QEMU has it open for writing (SOURCE_BUSY),
  // and flushes it first: on some file systems the holes of a dirty file are not where SEEK_HOLE
  // says.
  static absl::StatusOr<HostImage> Open(const std::string& path);

  const std::string& path() const { return path_; }
  int fd() const { return fd_.get(); }
  int64_t bytes() const { return bytes_; }

  // Still the same file, same size, same time of change, or the same device; still nobody writes.
  // SOURCE_CHANGED, SOURCE_BUSY.
  absl::Status CheckUnchanged() const;

 private:
  HostImage(std::string path, fs::Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  absl::Status Observe();
  absl::Status CheckNotWritten() const;

  std::string path_;
  fs::Fd fd_;
  struct stat found_{};
  int64_t bytes_ = 0;
};

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_HOST_IMAGE_H_
