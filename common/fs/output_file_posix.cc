#include "common/fs/errors.h"
#include "common/fs/files.h"
#include "common/fs/output_file.h"
#include "common/status_macros.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace vmkeep::fs {

absl::StatusOr<OutputFile> OutputFile::Create(const Fd& dir, const std::string& name, mode_t mode) {
  VMKEEP_RETURN_IF_ERROR(Unlink(dir, name));
  VMKEEP_ASSIGN_OR_RETURN(Fd fd, OpenBeneath(dir, name, O_WRONLY | O_CREAT | O_EXCL, mode));
  return OutputFile(std::move(fd), name);
}

absl::StatusOr<OutputFile> OutputFile::Reopen(const Fd& dir, const std::string& name) {
  // O_NONBLOCK: opening a pipe would wait for its other end.
  VMKEEP_ASSIGN_OR_RETURN(Fd fd, OpenBeneath(dir, name, O_RDWR | O_NONBLOCK));
  struct stat found{};
  if (fstat(fd.get(), &found) != 0) return error::FromErrno(errno, "cannot look at", name);
  if (!S_ISREG(found.st_mode) || found.st_nlink != 1) return error::NotPlain(name);
  return OutputFile(std::move(fd), name);
}

absl::Status OutputFile::SetLength(int64_t bytes) {
  if (ftruncate(fd_.get(), bytes) != 0)
    return error::FromErrno(errno, "cannot set the length of", name_);
  return absl::OkStatus();
}

absl::Status OutputFile::WriteAt(int64_t offset, absl::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t put = pwrite(fd_.get(), bytes.data(), bytes.size(), offset);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return error::FromErrno(errno, "cannot write", name_);
    bytes.remove_prefix(static_cast<size_t>(put));
    offset += put;
  }
  return absl::OkStatus();
}

}  // namespace vmkeep::fs
