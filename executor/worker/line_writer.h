#ifndef VMKEEP_EXECUTOR_WORKER_LINE_WRITER_H_
#define VMKEEP_EXECUTOR_WORKER_LINE_WRITER_H_

#include "common/fs/fd.h"
#include "common/mutex.h"

#include <deque>
#include <string>
#include <thread>

namespace vmkeep::worker {

// Lines onto a stream, by a thread of its own, in their order: whoever has a line to tell never
// waits for the stream's reader. Thread-safe. The stream outlives it.
class LineWriter {
 public:
  // As many as wait for a reader that does not read.
  static constexpr size_t kMaxWaiting = 16;

  explicit LineWriter(fs::NativeFd out);
  ~LineWriter();  // after the line that is being written; the others are dropped

  // Written some time; dropped when too many wait.
  void Offer(std::string line) ABSL_LOCKS_EXCLUDED(mu_);
  // Written, after all that waited, when it returns: as late as the reader wishes. Not when the
  // reader is gone.
  void Write(std::string line) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);

  const fs::NativeFd out_;
  Mutex mu_;
  CondVar changed_;
  std::deque<std::string> waiting_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  bool gone_ ABSL_GUARDED_BY(mu_) = false;  // the reader
  std::thread thread_;                      // last: it uses the rest
};

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_LINE_WRITER_H_
