#ifndef VMKEEP_EXECUTOR_WORKER_JOB_CONTEXT_H_
#define VMKEEP_EXECUTOR_WORKER_JOB_CONTEXT_H_

#include "common/clock.h"
#include "common/mutex.h"
#include "vmkeep/worker/v1/worker.pb.h"

#include "absl/status/status.h"
#include "absl/time/time.h"

#include <atomic>
#include <cstdint>
#include <functional>

namespace vmkeep::worker {

// What a job and its surroundings say to each other while it runs: how far it is, and whether to
// stop. Thread-safe. Outlives the job.
class JobContext {
 public:
  using ProgressSink = std::function<void(const v1::Progress&)>;
  // At least this long between two progress lines.
  static constexpr absl::Duration kProgressInterval = absl::Milliseconds(250);

  JobContext(Clock* clock, ProgressSink sink) : clock_(*clock), sink_(std::move(sink)) {}

  // Who asks a job to stop: the parent, which wants nothing of it any more, or the end of the
  // parent, whose next life may go on with a copy.
  enum class Why { kAsked, kParentEnded };
  // Asks the job to stop. False when it comes too late: the job has begun its last step and will
  // finish.
  bool Cancel(Why why = Why::kAsked);
  // CANCELLED once Cancel() succeeded. Jobs ask at least after each MiB.
  absl::Status CheckCancelled() const;
  bool parent_ended() const { return parent_ended_; }
  // The job's last step, such as the rename that publishes, comes now; CANCELLED when it must not.
  absl::Status BeginCommit();

  // The job goes through `total` bytes; the first progress line says so, and what of them is behind
  // it already.
  void SetTotal(int64_t total_bytes, int64_t done_bytes = 0, int64_t holes = 0);
  // Gone through: `bytes`, of which `holes` were holes or zeros. Passed on to the sink every now
  // and then.
  void AddProgress(int64_t bytes, int64_t holes);
  // How often anything moved, reads included; -1 before SetTotal(): what a watchdog looks at.
  int64_t moves() const { return moves_; }
  void AddMove() { ++moves_; }

 private:
  Clock& clock_;
  const ProgressSink sink_;
  std::atomic<int64_t> moves_ = -1;
  std::atomic<bool> cancelled_ = false;
  std::atomic<bool> parent_ended_ = false;
  mutable Mutex mu_;
  bool committing_ ABSL_GUARDED_BY(mu_) = false;
  v1::Progress progress_ ABSL_GUARDED_BY(mu_);
  absl::Duration next_line_ ABSL_GUARDED_BY(mu_);
  Mutex sink_mu_;
  int64_t told_bytes_ ABSL_GUARDED_BY(sink_mu_) = 0;
};

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_JOB_CONTEXT_H_
