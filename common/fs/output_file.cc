#include "common/fs/output_file.h"

#include "common/fs/errors.h"
#include "common/fs/files.h"
#include "common/status_macros.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace vmkeep::fs {

absl::StatusOr<OutputFile> OutputFile::Create(const Fd& dir, const std::string& name, mode_t mode) {
  VMKEEP_RETURN_IF_ERROR(Unlink(dir, name));
  VMKEEP_ASSIGN_OR_RETURN(Fd fd, OpenBeneath(dir, name, O_WRONLY | O_CREAT | O_EXCL, mode));
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

absl::Status OutputFile::Finish() {
  if (!fd_.valid()) return finished_;
  finished_ = Sync(fd_, name_);
  const absl::Status closed = fd_.Close(name_);
  finished_.Update(closed);
  return finished_;
}

}  // namespace vmkeep::fs
