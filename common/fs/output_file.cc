#include "common/fs/output_file.h"

#include "common/fs/files.h"

namespace vmkeep::fs {

absl::Status OutputFile::Flush() {
  if (flushed_.ok()) flushed_ = Sync(fd_, name_);
  return flushed_;
}

absl::Status OutputFile::Finish() {
  if (!fd_.valid()) return finished_;
  finished_ = Flush();
  const absl::Status closed = fd_.Close(name_);
  finished_.Update(closed);
  return finished_;
}

}  // namespace vmkeep::fs
