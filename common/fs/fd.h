#ifndef VMKEEP_COMMON_FS_FD_H_
#define VMKEEP_COMMON_FS_FD_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include <cstdint>
#include <utility>

namespace vmkeep::fs {

// What the operating system calls an open file: a descriptor, or a HANDLE of Windows.
#ifdef _WIN32
using NativeFd = void*;
#else
using NativeFd = int;
#endif

// Owns an open file or folder. Not thread-safe.
class Fd {
 public:
  Fd() = default;
  explicit Fd(NativeFd fd) : fd_(fd) {}
  ~Fd();
  Fd(Fd&& other) noexcept : fd_(other.Release()) {}
  Fd& operator=(Fd&& other) noexcept;

  NativeFd get() const { return fd_; }
  bool valid() const { return fd_ != kNone; }
  NativeFd Release() { return std::exchange(fd_, kNone); }
  // For files that were written: NFS reports lost writes here too. `path` is for the message.
  absl::Status Close(absl::string_view path);

 private:
#ifdef _WIN32
  static inline const NativeFd kNone = reinterpret_cast<NativeFd>(intptr_t{-1});
#else
  static constexpr NativeFd kNone = -1;
#endif
  NativeFd fd_ = kNone;
};

}  // namespace vmkeep::fs

#endif  // VMKEEP_COMMON_FS_FD_H_
