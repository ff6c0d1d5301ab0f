#ifndef VMKEEP_EXECUTOR_WORKER_COPY_SOURCE_H_
#define VMKEEP_EXECUTOR_WORKER_COPY_SOURCE_H_

#include "absl/status/status.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace vmkeep::worker {

// A part of the source and where its bytes go: as many as `into` has room for.
struct Piece {
  int64_t offset = 0;
  std::span<std::byte> into;
};

// The bytes of one disk that nobody writes to. Thread-safe.
class CopySource {
 public:
  CopySource() = default;
  virtual ~CopySource() = default;
  CopySource(const CopySource&) = delete;
  CopySource& operator=(const CopySource&) = delete;

  // The image that messages name.
  virtual const std::string& path() const = 0;
  virtual int64_t bytes() const = 0;

  // Fills all pieces, which do not overlap. SOURCE_READ_ERROR with the offset; SOURCE_CHANGED when
  // the source ends earlier; SOURCE_VIEW_LOST.
  virtual absl::Status Read(std::span<const Piece> pieces) const = 0;
  // The first offset from `offset` on that may hold data, or bytes().
  virtual int64_t NextData(int64_t offset) const = 0;
  // The first offset from `offset` on that surely reads as zeros, or bytes().
  virtual int64_t NextHole(int64_t offset) const = 0;

  // A hint to read ahead, and one to forget what was read.
  virtual void Prefetch(int64_t offset, int64_t bytes) const = 0;
  virtual void Forget(int64_t offset, int64_t bytes) const = 0;

  // After the copy: all that it was read from is what it was, and still nobody writes.
  virtual absl::Status CheckUnchanged() const = 0;
};

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_COPY_SOURCE_H_
