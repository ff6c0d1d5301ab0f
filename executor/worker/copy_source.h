#ifndef VMKEEP_EXECUTOR_WORKER_COPY_SOURCE_H_
#define VMKEEP_EXECUTOR_WORKER_COPY_SOURCE_H_

#include "common/fs/fd.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include <sys/stat.h>

#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace vmkeep::worker {

// An image on the host that nobody writes to. Thread-safe: it has no state but its descriptor, and
// no position.
class CopySource {
 public:
  // A regular file or a block device. Proves that no QEMU has it open for writing (SOURCE_BUSY),
  // and flushes it first: on some file systems the holes of a dirty file are not where SEEK_HOLE
  // says.
  static absl::StatusOr<CopySource> Open(const std::string& path);

  const std::string& path() const { return path_; }
  int64_t bytes() const { return bytes_; }

  // Fills `into` from `offset`. SOURCE_READ_ERROR with the offset; SOURCE_CHANGED when the file
  // ends earlier.
  absl::Status ReadAt(int64_t offset, std::span<std::byte> into) const;
  // The first offset from `offset` on that may hold data, or bytes().
  int64_t NextData(int64_t offset) const;
  // The first offset from `offset` on that is surely a hole, or bytes().
  int64_t NextHole(int64_t offset) const;

  // Asks the kernel to read ahead, and to forget what was read.
  void Prefetch(int64_t offset, int64_t bytes) const;
  void Forget(int64_t offset, int64_t bytes) const;

  // After the copy: still the same file, same size, same time of change, and still nobody writes.
  absl::Status CheckUnchanged() const;

 private:
  CopySource(std::string path, fs::Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  absl::Status Observe();
  absl::Status CheckNotWritten() const;

  std::string path_;
  fs::Fd fd_;
  struct stat found_{};
  int64_t bytes_ = 0;
};

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_COPY_SOURCE_H_
