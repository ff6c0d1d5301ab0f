#include "common/fs/errors.h"
#include "common/fs/fd.h"

#include <unistd.h>

#include <cerrno>

namespace vmkeep::fs {

Fd::~Fd() {
  if (fd_ >= 0) close(fd_);
}

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) close(fd_);
    fd_ = other.Release();
  }
  return *this;
}

absl::Status Fd::Close(absl::string_view path) {
  const int fd = Release();
  // Never repeated: on Linux the descriptor is gone whatever close() says, EINTR included.
  if (fd >= 0 && close(fd) != 0 && errno != EINTR)
    return error::FromErrno(errno, "cannot close", path);
  return absl::OkStatus();
}

}  // namespace vmkeep::fs
