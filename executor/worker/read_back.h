#ifndef VMKEEP_EXECUTOR_WORKER_READ_BACK_H_
#define VMKEEP_EXECUTOR_WORKER_READ_BACK_H_

#include "common/digest/digest.h"
#include "common/fs/fd.h"
#include "common/fs/files.h"
#include "executor/worker/export_tree.h"
#include "executor/worker/job_context.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace vmkeep::worker {

// A file that somebody else wrote into the repository, read from where it is stored: it is flushed,
// and what the page cache has of it is dropped, before the first read and after each. Reads may
// come from several threads at once. All outlive it.
class ReadBack {
 public:
  // `file` below `folder`. Flushes.
  static absl::StatusOr<ReadBack> Open(const fs::Fd& folder, const ExportFile& file,
                                       const Refuse* refuse, JobContext* context);

  int64_t bytes() const { return found_.bytes; }
  // What is allocated of it, at most its length.
  int64_t data_bytes() const;

  // Before it is read at several places at once: what the system reads ahead there another thread
  // reads anyway, or has read and dropped, and it would stay in the cache.
  void DoNotReadAhead() const { fs::DoNotReadAhead(fd_); }
  // Fills `into`, in steps of a MiB, each of which is progress and may be cancelled.
  absl::Status Read(int64_t offset, std::span<std::byte> into) const;
  // Refuses a file that was written to, or replaced, since Open().
  absl::Status CheckUnchanged(const fs::Fd& folder) const;

 private:
  ReadBack(fs::Fd fd, std::string path, const Refuse* refuse, JobContext* context)
      : fd_(std::move(fd)), path_(std::move(path)), refuse_(refuse), context_(context) {}

  fs::Fd fd_;
  std::string path_;
  fs::FileInfo found_;
  const Refuse* refuse_;
  JobContext* context_;
};

// The SHA-256 of a whole file.
absl::StatusOr<digest::Sha256> HashWhole(const ReadBack& file);

// The digest list of a file into a new file `list_file` of `folder`, flushed; the list's root. By
// several threads.
absl::StatusOr<std::string> HashIntoList(const ReadBack& file, const fs::Fd& folder,
                                         const std::string& list_file);

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_READ_BACK_H_
