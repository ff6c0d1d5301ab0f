#ifndef VMKEEP_EXECUTOR_WORKER_COPY_PLAN_H_
#define VMKEEP_EXECUTOR_WORKER_COPY_PLAN_H_

#include "common/mutex.h"
#include "executor/worker/copy_source.h"

#include <cstdint>
#include <optional>

namespace vmkeep::worker {

// Chunks that one thread works on next.
struct CopyWork {
  int64_t first_chunk = 0;
  int64_t chunks = 0;  // 1 unless they are holes
  bool hole = false;   // nothing to read: each is zero from end to end
};

// Hands a source's chunks, from the first one asked for on, to the copying threads, in order, and
// has the data ahead of them read. Thread-safe. The source must outlive it.
class CopyPlan {
 public:
  CopyPlan(const CopySource* source, int64_t first_chunk)
      : source_(*source), next_chunk_(first_chunk) {}

  // Nothing when all is handed out.
  std::optional<CopyWork> Next() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  CopyWork Holes(int64_t until) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PrefetchAhead() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const CopySource& source_;
  Mutex mu_;
  int64_t next_chunk_ ABSL_GUARDED_BY(mu_);
  int64_t next_data_ ABSL_GUARDED_BY(mu_) = -1;  // where data starts again, as far as it is known
  int64_t prefetched_ ABSL_GUARDED_BY(mu_) = 0;  // read-ahead was asked up to here
};

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_COPY_PLAN_H_
