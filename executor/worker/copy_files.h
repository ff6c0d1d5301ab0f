#ifndef VMKEEP_EXECUTOR_WORKER_COPY_FILES_H_
#define VMKEEP_EXECUTOR_WORKER_COPY_FILES_H_

#include "common/digest/digest.h"
#include "common/fs/fd.h"
#include "common/fs/output_file.h"
#include "executor/worker/job_context.h"

#include "absl/status/statusor.h"

#include <cstdint>
#include <string>

namespace vmkeep::worker {

// The image and the digest list that a copy writes, and what an earlier copy left of them that is
// proven to be on the disk: `kept` lines and the chunks that they speak of. Behind that the image
// is one hole up to its length, and the list is at its end. Locked against another worker.
struct CopyFiles {
  fs::OutputFile image;
  fs::OutputFile list;
  digest::ListStart kept;
  int64_t kept_bytes = 0;        // of the image
  int64_t kept_data_bytes = 0;   // of those, what is no hole in the image
  int64_t kept_data_chunks = 0;  // chunks that are not zero from end to end
};

// New files of an image of `bytes`, in the place of what lies there.
absl::StatusOr<CopyFiles> CreateCopyFiles(const fs::Fd& folder, const std::string& image,
                                          const std::string& list, int64_t bytes);
// What is left of an earlier copy; new files when there is nothing, or nothing that such a copy
// could have left. UNAVAILABLE, COPY_IN_USE, when an earlier worker does not let go of it.
absl::StatusOr<CopyFiles> ReopenCopyFiles(const fs::Fd& folder, const std::string& image,
                                          const std::string& list, int64_t bytes,
                                          const JobContext& context);

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_COPY_FILES_H_
