#include "common/fs/fd.h"
#include "common/fs/win32.h"

namespace vmkeep::fs {

Fd::~Fd() {
  if (valid()) CloseHandle(fd_);
}

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    if (valid()) CloseHandle(fd_);
    fd_ = other.Release();
  }
  return *this;
}

absl::Status Fd::Close(absl::string_view path) {
  const NativeFd fd = Release();
  if (fd != kNone && CloseHandle(fd) == 0) return win32::LastError("cannot close", path);
  return absl::OkStatus();
}

}  // namespace vmkeep::fs
