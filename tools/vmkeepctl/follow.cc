#include "tools/vmkeepctl/follow.h"

#include "common/backoff.h"
#include "common/error.h"
#include "tools/vmkeepctl/errors.h"
#include "tools/vmkeepctl/terminal.h"

#include "absl/time/clock.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <utility>

namespace vmkeep::ctl {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(100);

// True when the stream broke, not the watch: the connection went, or the controller said that it
// goes.
bool IsBroken(const absl::Status& end) {
  if (absl::IsUnavailable(end)) return true;
  // A reset of HTTP/2 by a proxy or a process that goes; the controller's own errors have a reason.
  return (absl::IsInternal(end) || absl::IsUnknown(end) || absl::IsCancelled(end)) &&
         ErrorReason(end).empty();
}

bool IsTokenRefused(const absl::Status& end) {
  return absl::IsInvalidArgument(end) || absl::IsOutOfRange(end) || absl::IsFailedPrecondition(end);
}

class Follower {
 public:
  Follower(Client& client, v1::WatchBackupsRequest request, Persistence persistence,
           FollowView& view, SeenBackups& seen)
      : client_(client),
        request_(std::move(request)),
        patient_(persistence == Persistence::kAlways),
        view_(view),
        seen_(seen),
        backoff_(absl::Milliseconds(200), absl::Seconds(5), std::random_device()()) {}

  absl::Status Run() {
    while (true) {
      const absl::Status end = ReadToEnd();
      if (ErrorReason(end) == error::kInterrupted) return end;
      if (end.ok() && request_.until_settled()) return end;
      if (!end.ok() && IsTokenRefused(end) && !request_.resume_token().empty()) {
        request_.clear_resume_token();
        view_.Restart();
      } else if (!end.ok() && !(IsBroken(end) && patient_)) {
        return client_.Explain(end);
      }
      if (absl::Status paused = Pause(end); !paused.ok()) return paused;
    }
  }

 private:
  // Reads one stream; its end, or INTERRUPTED.
  absl::Status ReadToEnd() {
    const std::unique_ptr<WatchStream> stream = client_.Watch(request_);
    while (true) {
      if (WasInterrupted()) return error::Interrupted();
      std::optional<WatchEvent> event = stream->Next(kTick);
      if (event.has_value() && !event->message.has_value()) return event->end;
      if (event.has_value()) Take(*event->message);
      view_.Tick();
    }
  }

  void Take(const v1::WatchBackupsResponse& message) {
    patient_ = true;
    backoff_.Reset();
    if (!message.resume_token().empty()) request_.set_resume_token(message.resume_token());
    if (!message.has_backup()) return;
    seen_[message.backup().id()] = message.backup();
    view_.Show(message.backup());
  }

  absl::Status Pause(const absl::Status& end) {
    const absl::Duration delay = backoff_.Next();
    view_.Broken(end.ok() ? absl::UnavailableError("the controller ended the watch") : end, delay);
    const absl::Time until = absl::Now() + delay;
    while (absl::Now() < until) {
      if (absl::Status slept = client_.Sleep(std::min(kTick, until - absl::Now())); !slept.ok())
        return slept;
      view_.Tick();
    }
    return absl::OkStatus();
  }

  Client& client_;
  v1::WatchBackupsRequest request_;
  bool patient_;
  FollowView& view_;
  SeenBackups& seen_;
  Backoff backoff_;
};

}  // namespace

absl::Status Follow(Client& client, v1::WatchBackupsRequest request, Persistence persistence,
                    FollowView& view, SeenBackups& seen) {
  const absl::Status status = Follower(client, std::move(request), persistence, view, seen).Run();
  view.Finish();
  return status;
}

}  // namespace vmkeep::ctl
