#ifndef VMKEEP_EXECUTOR_WORKER_WRITEBACK_WINDOW_H_
#define VMKEEP_EXECUTOR_WORKER_WRITEBACK_WINDOW_H_

#include "common/mutex.h"

#include "absl/status/status.h"

#include <cstdint>
#include <deque>
#include <utility>

namespace vmkeep::worker {

// Keeps a large write from filling the page cache: starts the write-back of each range at once, and
// once a few ranges are under way waits for the oldest and drops it. So the final fsync has little
// left to do, and a full or dead disk is noticed early. Thread-safe.
class WritebackWindow {
 public:
  WritebackWindow(int fd, size_t max_ranges) : fd_(fd), max_ranges_(max_ranges) {}

  // The range was written. An error is the write's: never go on after it.
  absl::Status Wrote(int64_t offset, int64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const int fd_;
  const size_t max_ranges_;
  Mutex mu_;
  std::deque<std::pair<int64_t, int64_t>> under_way_ ABSL_GUARDED_BY(mu_);
};

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_WRITEBACK_WINDOW_H_
