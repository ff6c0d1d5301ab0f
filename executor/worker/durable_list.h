#ifndef VMKEEP_EXECUTOR_WORKER_DURABLE_LIST_H_
#define VMKEEP_EXECUTOR_WORKER_DURABLE_LIST_H_

#include "common/digest/digest.h"
#include "common/mutex.h"
#include "executor/worker/copy_files.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <cstdint>
#include <string>

namespace vmkeep::worker {

// The digest list of a copy under way, which is also the record of how far it is on the disk: a
// line is written only after the image was flushed with its chunk in it. So after a kill or a power
// cut each line before the first broken one speaks of a chunk that is there (ADR 0053). Flushes
// each time a few percent more were copied: what a kill costs is a share of the copy, whatever its
// size. Thread-safe, but for Finish().
class DurableList {
 public:
  // The files outlive it.
  explicit DurableList(CopyFiles* files);

  // `count` chunks from `index` on are in the image, all with this digest; `data`: they were read
  // and not known to be holes. Now and then flushes image and list, in the calling thread. After
  // an error the copy is worthless.
  absl::Status Add(int64_t index, int64_t count, const digest::Sha256& digest, bool data)
      ABSL_LOCKS_EXCLUDED(mu_, flush_mu_);
  // All `chunks` are added. Flushes and closes both files; the list's root.
  absl::StatusOr<std::string> Finish(int64_t chunks) ABSL_LOCKS_EXCLUDED(mu_, flush_mu_);

 private:
  bool Due() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Flush() ABSL_LOCKS_EXCLUDED(mu_, flush_mu_);

  fs::OutputFile& image_;
  fs::OutputFile& list_file_;
  Mutex mu_;
  digest::ListWriter list_ ABSL_GUARDED_BY(mu_);
  std::string text_ ABSL_GUARDED_BY(mu_);  // lines that are not in the file yet
  int64_t data_chunks_ ABSL_GUARDED_BY(mu_);
  int64_t flushed_data_chunks_ ABSL_GUARDED_BY(mu_);  // as of the last flush that was begun
  bool flushing_ ABSL_GUARDED_BY(mu_) = false;
  Mutex flush_mu_;  // one flush at a time: waiting for the disk under it is the point
  int64_t written_bytes_ ABSL_GUARDED_BY(flush_mu_);
};

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_DURABLE_LIST_H_
