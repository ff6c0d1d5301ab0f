#ifndef VMKEEP_COMMON_FS_FD_H_
#define VMKEEP_COMMON_FS_FD_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include <utility>

namespace vmkeep::fs {

// Owns a descriptor. Not thread-safe.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd();
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }
  // For files that were written: NFS reports lost writes here too. `path` is for the message.
  absl::Status Close(absl::string_view path);

 private:
  int fd_ = -1;
};

}  // namespace vmkeep::fs

#endif  // VMKEEP_COMMON_FS_FD_H_
