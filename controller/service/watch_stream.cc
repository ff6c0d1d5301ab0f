#include "controller/service/watch_stream.h"

#include "common/grpc_status.h"
#include "controller/service/convert.h"

#include <utility>

namespace vmkeep::controller {

WatchStream* WatchStream::Start(WatchHub& hub, WatchHub::Request request, TokenScope scope,
                                const WatchStreamOptions& options) {
  std::shared_ptr<WatchStream> stream(new WatchStream(std::move(scope), options));
  stream->self_ = stream;
  std::weak_ptr<WatchStream> weak = stream;
  stream->watcher_ = hub.Watch(std::move(request), [weak] {
    if (const auto self = weak.lock()) self->Pump();
  });
  stream->ArmBookmark();
  {
    MutexLock lock(&stream->mu_);
    stream->pumping_ = false;
  }
  stream->Pump();
  return stream.get();
}

void WatchStream::OnWriteDone(bool ok) {
  {
    MutexLock lock(&mu_);
    writing_ = false;
    gone_ = gone_ || !ok;
  }
  Pump();
}

void WatchStream::OnCancel() {
  {
    MutexLock lock(&mu_);
    gone_ = true;
  }
  Pump();
}

void WatchStream::OnDone() {
  watcher_.reset();
  const std::shared_ptr<WatchStream> self = std::move(self_);
}

void WatchStream::Pump() {
  {
    MutexLock lock(&mu_);
    pump_again_ = true;
    if (pumping_ || finished_) return;
    pumping_ = true;
  }
  while (true) {
    {
      MutexLock lock(&mu_);
      if (!pump_again_ || finished_) {
        pumping_ = false;
        return;
      }
      pump_again_ = false;
    }
    PumpOnce();
  }
}

void WatchStream::PumpOnce() {
  bool bookmark_due = false;
  bool gone = false;
  {
    MutexLock lock(&mu_);
    if (writing_) return;
    gone = gone_;
    bookmark_due = std::exchange(bookmark_due_, false);
  }
  const Step step =
      gone ? Step::Finish(absl::CancelledError("the caller is gone")) : NextStep(bookmark_due);
  {
    MutexLock lock(&mu_);
    finished_ = step.finish.has_value();
    writing_ = step.write;
  }
  // From here on another thread may go on.
  if (step.write) StartWrite(&response_);
  if (step.finish) Finish(ToGrpcStatus(*step.finish));
}

WatchStream::Step WatchStream::NextStep(bool bookmark_due) {
  if (const auto item = watcher_->Next()) {
    Fill(*item);
    return Step::Write();
  }
  if (watcher_->finished()) return Step::Finish(absl::OkStatus());
  const auto closed = watcher_->closed();
  if (closed && said_goodbye_) return Step::Finish(*closed);
  if (!closed && !bookmark_due) return Step::Wait();
  // Before the end by a drain too, so that the caller knows where to resume.
  said_goodbye_ = closed.has_value();
  Fill({.view = {}, .snapshot_complete = false, .revision = watcher_->revision()});
  return Step::Write();
}

void WatchStream::Fill(const Watcher::Item& item) {
  response_.Clear();
  if (item.view) *response_.mutable_backup() = ToProto(*item.view);
  response_.set_snapshot_complete(item.snapshot_complete);
  if (item.revision > 0) response_.set_resume_token(MakeResumeToken(scope_, item.revision));
}

void WatchStream::ArmBookmark() {
  options_.run_after(options_.bookmark_every, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->OnBookmarkTime();
  });
}

void WatchStream::OnBookmarkTime() {
  {
    MutexLock lock(&mu_);
    if (finished_) return;
    bookmark_due_ = true;
  }
  ArmBookmark();
  Pump();
}

}  // namespace vmkeep::controller
