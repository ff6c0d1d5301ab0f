#ifndef VMKEEP_EXECUTOR_WORKER_SESSION_H_
#define VMKEEP_EXECUTOR_WORKER_SESSION_H_

#include "common/fs/fd.h"
#include "common/mutex.h"
#include "executor/worker/job_context.h"
#include "executor/worker/line_writer.h"
#include "vmkeep/worker/v1/worker.pb.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace vmkeep::worker {

// The process's side of worker.proto: one request on stdin, progress and one answer on stdout. A
// second thread watches the job, and a third one stdin: whatever comes after the request - a Cancel
// line, garbage, the end - cancels (at the end a copy keeps its files: see worker.proto), and a job
// that then does not end, or moves nothing for its stall time, is answered for and the process ends
// under it. So one that hangs in the kernel still gives an answer. One use; lives as long as the
// process: the thread that reads stdin is left to it.
class Session {
 public:
  using Job = std::function<absl::StatusOr<v1::Result>(const v1::Request&, JobContext*)>;
  // How long a cancelled job may take to end by itself.
  static constexpr absl::Duration kCancelGrace = absl::Milliseconds(700);

  Session(fs::NativeFd in, fs::NativeFd out);

  // Reads the request, runs `job` in this thread, writes the answer; the exit status.
  int Run(const Job& job);

 private:
  absl::StatusOr<v1::Request> ReadRequest();
  void Watch(const v1::Request& request);
  // Writes the last line, once: false when somebody else did, or does.
  bool Answer(const absl::StatusOr<v1::Result>& result) ABSL_LOCKS_EXCLUDED(mu_);
  void WriteProgress(const v1::Progress& progress) ABSL_LOCKS_EXCLUDED(mu_);
  // Answers for a job that does not end, and ends the process.
  void GiveUp(const absl::Status& status);

  // What the watching thread waits for.
  struct Watched {
    Mutex mu;
    CondVar changed;
    bool job_ended ABSL_GUARDED_BY(mu) = false;
    std::optional<JobContext::Why> cancel ABSL_GUARDED_BY(mu);  // not taken yet
  };
  // Reads once what comes after the request, in a thread that nobody waits for.
  void WatchInput();

  const fs::NativeFd in_;
  LineWriter out_;
  JobContext context_;
  bool more_was_read_ = false;  // of stdin than the request
  const std::shared_ptr<Watched> watched_ = std::make_shared<Watched>();
  Mutex mu_;
  bool answered_ ABSL_GUARDED_BY(mu_) = false;
  int64_t reported_bytes_ ABSL_GUARDED_BY(mu_) = -1;
};

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_SESSION_H_
