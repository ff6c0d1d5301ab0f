#ifndef VMKEEP_COMMON_FS_OUTPUT_FILE_H_
#define VMKEEP_COMMON_FS_OUTPUT_FILE_H_

#include "common/fs/fd.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include <sys/types.h>

#include <cstdint>
#include <string>

namespace vmkeep::fs {

// A file that counts only after Finish(). WriteAt() may be called by several threads at once, and
// beside Flush(); the rest by one, when they are done. Dropped unfinished, the file stays as it is:
// whoever made the folder removes it, or goes on with it.
class OutputFile {
 public:
  // Replaces what is there under that name, by a new file: never written through an old descriptor
  // or a link.
  static absl::StatusOr<OutputFile> Create(const Fd& dir, const std::string& name, mode_t mode);
  // One that was dropped unfinished, to go on with; readable too. NOT_FOUND; FAILED_PRECONDITION
  // when a link or anything but a plain file of this one name lies there.
  static absl::StatusOr<OutputFile> Reopen(const Fd& dir, const std::string& name);
  OutputFile(OutputFile&&) = default;
  OutputFile& operator=(OutputFile&&) noexcept = default;

  NativeFd fd() const { return fd_.get(); }
  absl::Status SetLength(int64_t bytes);
  absl::Status WriteAt(int64_t offset, absl::string_view bytes) const;
  // fsync: what was written before is on the disk. One at a time. After an error the file is
  // worthless: this and Finish() give the same error from then on instead of a second fsync, which
  // could succeed with data gone.
  absl::Status Flush();
  // fsync and close, once: NFS reports a full or lost disk at any of write, fsync and close. After
  // an error as after one of Flush().
  absl::Status Finish();

 private:
  OutputFile(Fd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}

  Fd fd_;
  std::string name_;
  absl::Status flushed_;  // what Flush() failed with
  absl::Status finished_ = absl::UnknownError("not finished");
};

}  // namespace vmkeep::fs

#endif  // VMKEEP_COMMON_FS_OUTPUT_FILE_H_
