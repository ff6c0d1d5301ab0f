#include "executor/worker/session.h"

#include "common/clock.h"
#include "common/error.h"
#include "common/jsonl/jsonl.h"
#include "common/status_macros.h"
#include "common/utf8.h"
#include "executor/worker/errors.h"

#include "absl/strings/string_view.h"
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>
#include <utility>

namespace vmkeep::worker {
namespace {

// How often the watching thread looks at the clock.
constexpr int kTickMillis = 100;

// False when the reader is gone.
bool WriteAll(int fd, absl::string_view text) {
  while (!text.empty()) {
    const ssize_t put = write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    text.remove_prefix(static_cast<size_t>(put));
  }
  return true;
}

v1::Error ToWire(const absl::Status& status) {
  v1::Error error;
  error.set_code(static_cast<int32_t>(status.code()));
  error.set_reason(ErrorReason(status));
  error.set_message(ToUtf8(status.message()));
  for (const auto& [key, value] : ErrorDetails(status)) (*error.mutable_metadata())[key] = value;
  return error;
}

// Why there is something to read after the request: the parent's end, or anything that it said.
JobContext::Why WhyReadable(int fd) {
  char next = 0;
  const ssize_t got = read(fd, &next, 1);
  return got == 0 ? JobContext::Why::kParentEnded : JobContext::Why::kAsked;
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

Session::Session(int in, int out)
    : in_(in),
      out_(out),
      context_(&RealClock(), [this](const v1::Progress& progress) { WriteProgress(progress); }) {}

int Session::Run(const Job& job) {
  const absl::StatusOr<v1::Request> request = ReadRequest();
  if (!request.ok()) {
    Answer(request.status());
    return 1;
  }
  const int job_ended = eventfd(0, EFD_CLOEXEC);
  std::thread watcher([&] { Watch(*request, job_ended); });
  const absl::StatusOr<v1::Result> result = job(*request, &context_);
  Answer(result);
  (void)eventfd_write(job_ended, 1);
  watcher.join();
  close(job_ended);
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
    const ssize_t got = read(in_, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return InvalidArgument("job", "the input ended before a request");
    read_bytes += static_cast<size_t>(got);
    lines.Append(absl::string_view(buffer.data(), static_cast<size_t>(got)));
  }
}

void Session::Watch(const v1::Request& request, int job_ended) {
  Clock& clock = RealClock();
  const absl::Duration stall = StallTime(request);
  std::optional<absl::Duration> give_up_at;
  std::pair last_move(context_.moves(), clock.Monotonic());
  while (true) {
    std::array<pollfd, 2> fds{pollfd{job_ended, POLLIN, 0},
                              pollfd{give_up_at ? -1 : in_, POLLIN, 0}};
    (void)poll(fds.data(), fds.size(), kTickMillis);
    if (fds[0].revents != 0) return;
    const absl::Duration now = clock.Monotonic();
    const bool more = std::exchange(more_was_read_, false);
    if (fds[1].revents != 0 || more) {
      // Too late for a job in its last step: that one finishes, and the parent's deadline is what
      // ends it at worst.
      const JobContext::Why why = more ? JobContext::Why::kAsked : WhyReadable(in_);
      give_up_at = context_.Cancel(why) ? now + kCancelGrace : absl::InfiniteDuration();
    }
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
  const absl::StatusOr<std::string> line = jsonl::Encode(response);
  MutexLock lock(&mu_);
  if (std::exchange(answered_, true) || !line.ok()) return false;
  return WriteAll(out_, *line);
}

void Session::WriteProgress(const v1::Progress& progress) {
  v1::Response response;
  *response.mutable_progress() = progress;
  const absl::StatusOr<std::string> line = jsonl::Encode(response);
  MutexLock lock(&mu_);
  // Lines of two threads may overtake each other: an older one says nothing.
  if (progress.bytes_done() <= reported_bytes_) return;
  reported_bytes_ = progress.bytes_done();
  // A reader that does not read must not stop the copy: without room for a whole line this one is
  // dropped.
  pollfd room{.fd = out_, .events = POLLOUT, .revents = 0};
  if (answered_ || !line.ok() || poll(&room, 1, 0) != 1 || (room.revents & POLLOUT) == 0) return;
  (void)WriteAll(out_, *line);
}

void Session::GiveUp(const absl::Status& status) {
  // Without an answer of ours the job has just ended: let it.
  if (Answer(status)) _exit(1);
}

}  // namespace vmkeep::worker
