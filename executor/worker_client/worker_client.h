#ifndef VMKEEP_EXECUTOR_WORKER_CLIENT_WORKER_CLIENT_H_
#define VMKEEP_EXECUTOR_WORKER_CLIENT_WORKER_CLIENT_H_

#include "vmkeep/worker/v1/worker.pb.h"

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>

namespace vmkeep::executor {

// Runs jobs below a repository's mount, which the executor itself never touches. Thread-safe.
class Worker {
 public:
  virtual ~Worker() = default;

  // Called in the thread of Run(), between its start and its return; must not block. Either may be
  // empty.
  struct Hooks {
    std::function<void(const worker::v1::Progress&)> on_progress;
    // Once, before the job's first byte moves: what the journal needs to find a worker left over by
    // a crash.
    std::function<void(pid_t pid, uint64_t start_time)> on_started;
  };

  // Runs the job to its end. A failed job is the worker's own error: its code, reason, message and
  // metadata. A stop is answered by CANCELLED, reason CANCELLED, within 2 s; a job that was done by
  // then, such as a publish that had begun its rename, gives its result all the same. Past
  // `deadline` (counted from the call), or without a moved byte for `stall` during a copy, the
  // worker is killed: DEADLINE_EXCEEDED, reason WORKER_DEADLINE or COPY_STALLED. A worker that ends
  // without an answer is UNAVAILABLE, reason WORKER_DIED. One that cannot be killed (it hangs in
  // the kernel, on a NAS that is gone) is abandoned: the call returns within 2 s of the kill all
  // the same.
  virtual absl::StatusOr<worker::v1::Result> Run(const worker::v1::Request& request,
                                                 absl::Duration deadline, absl::Duration stall,
                                                 const std::stop_token& stop,
                                                 const Hooks& hooks) = 0;
};

// One vmkeep-worker child process per job. Thread-safe; a call holds nothing of the object but the
// path.
class ProcessWorker final : public Worker {
 public:
  explicit ProcessWorker(std::string binary_path);

  absl::StatusOr<worker::v1::Result> Run(const worker::v1::Request& request,
                                         absl::Duration deadline, absl::Duration stall,
                                         const std::stop_token& stop, const Hooks& hooks) override;

 private:
  const std::string binary_path_;
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_WORKER_CLIENT_WORKER_CLIENT_H_
