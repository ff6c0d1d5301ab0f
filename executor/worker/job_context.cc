#include "executor/worker/job_context.h"

#include "executor/worker/errors.h"

namespace vmkeep::worker {

bool JobContext::Cancel(Why why) {
  MutexLock lock(&mu_);
  if (committing_) return false;
  parent_ended_ = why == Why::kParentEnded;
  cancelled_ = true;
  return true;
}

absl::Status JobContext::CheckCancelled() const {
  return cancelled_ ? error::Cancelled() : absl::OkStatus();
}

absl::Status JobContext::BeginCommit() {
  MutexLock lock(&mu_);
  if (cancelled_) return error::Cancelled();
  committing_ = true;
  return absl::OkStatus();
}

void JobContext::SetTotal(int64_t total_bytes, int64_t done_bytes, int64_t holes) {
  v1::Progress line;
  {
    MutexLock lock(&mu_);
    progress_.set_bytes_total(total_bytes);
    progress_.set_bytes_done(done_bytes);
    progress_.set_bytes_holes(holes);
    next_line_ = clock_.Monotonic() + kProgressInterval;
    line = progress_;
  }
  moves_ = 0;
  sink_(line);
}

void JobContext::AddProgress(int64_t bytes, int64_t holes) {
  AddMove();
  v1::Progress line;
  {
    MutexLock lock(&mu_);
    progress_.set_bytes_done(progress_.bytes_done() + bytes);
    progress_.set_bytes_holes(progress_.bytes_holes() + holes);
    const absl::Duration now = clock_.Monotonic();
    const bool done = progress_.bytes_done() == progress_.bytes_total();
    if (now < next_line_ && !done) return;
    next_line_ = now + kProgressInterval;
    line = progress_;
  }
  // One at a time and forwards, whichever thread has the next one.
  MutexLock lock(&sink_mu_);
  if (line.bytes_done() < told_bytes_) return;
  told_bytes_ = line.bytes_done();
  sink_(line);
}

}  // namespace vmkeep::worker
