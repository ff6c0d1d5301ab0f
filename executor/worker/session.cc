#include "executor/worker/session.h"

#include "common/clock.h"
#include "common/error.h"
#include "common/jsonl/jsonl.h"
#include "common/status_macros.h"
#include "common/utf8.h"
#include "executor/worker/errors.h"
#include "executor/worker/stdio.h"

#include "absl/strings/string_view.h"

#include <optional>
#include <span>
#include <thread>
#include <utility>

namespace vmkeep::worker {
namespace {

// How often the watching thread looks at the clock.
constexpr absl::Duration kTick = absl::Milliseconds(100);

v1::Error ToWire(const absl::Status& status) {
  v1::Error error;
  error.set_code(static_cast<int32_t>(status.code()));
  error.set_reason(ErrorReason(status));
  error.set_message(ToUtf8(status.message()));
  for (const auto& [key, value] : ErrorDetails(status)) (*error.mutable_metadata())[key] = value;
  return error;
}

// Of the jobs that move bytes for long.
absl::Duration StallTime(const v1::Request& request) {
  const int64_t seconds = request.has_seal_export() ? request.seal_export().stall_seconds()
                                                    : request.copy().stall_seconds();
  return seconds > 0 ? absl::Seconds(seconds) : absl::InfiniteDuration();
}

absl::Status Stalled(const v1::Request& request, absl::Duration after) {
  return request.has_seal_export() ? error::SealStalled(request.seal_export().incoming(), after)
                                   : error::CopyStalled(request.copy().source(), after);
}

}  // namespace

Session::Session(fs::NativeFd in, fs::NativeFd out)
    : in_(in),
      out_(out),
      context_(&RealClock(), [this](const v1::Progress& progress) { WriteProgress(progress); }) {}

int Session::Run(const Job& job) {
  const absl::StatusOr<v1::Request> request = ReadRequest();
  if (!request.ok()) {
    Answer(request.status());
    return 1;
  }
  WatchInput();
  std::thread watcher([&] { Watch(*request); });
  const absl::StatusOr<v1::Result> result = job(*request, &context_);
  Answer(result);
  {
    MutexLock lock(&watched_->mu);
    watched_->job_ended = true;
  }
  watched_->changed.NotifyAll();
  watcher.join();
  return result.ok() ? 0 : 1;
}

absl::StatusOr<v1::Request> Session::ReadRequest() {
  jsonl::LineReader lines;
  std::string buffer(64 << 10, '\0');
  size_t read_bytes = 0;
  while (true) {
    VMKEEP_ASSIGN_OR_RETURN(const std::optional<std::string> line, lines.Next());
    if (line) {
      v1::Request request;
      VMKEEP_RETURN_IF_ERROR(jsonl::Decode(*line, &request));
      // A Cancel may have come in the same read.
      more_was_read_ = read_bytes > line->size() + 1;
      return request;
    }
    const size_t got = ReadSome(in_, buffer);
    if (got == 0) return InvalidArgument("job", "the input ended before a request");
    read_bytes += got;
    lines.Append(absl::string_view(buffer.data(), got));
  }
}

void Session::WatchInput() {
  if (more_was_read_) {
    MutexLock lock(&watched_->mu);
    watched_->cancel = JobContext::Why::kAsked;
    return;
  }
  // Detached: nothing but the parent ends a read that waits. It touches nothing of the session's.
  std::thread([in = Duplicate(in_), watched = watched_] {
    char next = 0;
    const bool ended = ReadSome(in.get(), std::span(&next, 1)) == 0;
    {
      MutexLock lock(&watched->mu);
      watched->cancel = ended ? JobContext::Why::kParentEnded : JobContext::Why::kAsked;
    }
    watched->changed.NotifyAll();
  }).detach();
}

void Session::Watch(const v1::Request& request) {
  Clock& clock = RealClock();
  const absl::Duration stall = StallTime(request);
  std::optional<absl::Duration> give_up_at;
  std::pair last_move(context_.moves(), clock.Monotonic());
  while (true) {
    std::optional<JobContext::Why> cancel;
    {
      MutexLock lock(&watched_->mu);
      if (!watched_->job_ended && !watched_->cancel)
        watched_->changed.WaitFor(&watched_->mu, kTick);
      if (watched_->job_ended) return;
      cancel = std::exchange(watched_->cancel, std::nullopt);
    }
    const absl::Duration now = clock.Monotonic();
    // Too late for a job in its last step: that one finishes, and the parent's deadline is what
    // ends it at worst.
    if (cancel)
      give_up_at = context_.Cancel(*cancel) ? now + kCancelGrace : absl::InfiniteDuration();
    if (give_up_at && now >= *give_up_at) GiveUp(error::Cancelled());
    if (const int64_t moves = context_.moves(); moves < 0 || moves != last_move.first)
      last_move = {moves, now};
    if (now - last_move.second >= stall) GiveUp(Stalled(request, stall));
  }
}

bool Session::Answer(const absl::StatusOr<v1::Result>& result) {
  v1::Response response;
  if (result.ok()) {
    *response.mutable_result() = *result;
  } else {
    *response.mutable_error() = ToWire(result.status());
  }
  absl::StatusOr<std::string> line = jsonl::Encode(response);
  {
    MutexLock lock(&mu_);
    if (std::exchange(answered_, true) || !line.ok()) return false;
  }
  out_.Write(*std::move(line));
  return true;
}

void Session::WriteProgress(const v1::Progress& progress) {
  v1::Response response;
  *response.mutable_progress() = progress;
  absl::StatusOr<std::string> line = jsonl::Encode(response);
  MutexLock lock(&mu_);
  // Lines of two threads may overtake each other: an older one says nothing.
  if (progress.bytes_done() <= reported_bytes_) return;
  reported_bytes_ = progress.bytes_done();
  // A reader that does not read must not stop the job.
  if (!answered_ && line.ok()) out_.Offer(*std::move(line));
}

void Session::GiveUp(const absl::Status& status) {
  // Without an answer of ours the job has just ended: let it.
  if (Answer(status)) EndProcess(1);
}

}  // namespace vmkeep::worker
