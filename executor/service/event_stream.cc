#include "executor/service/event_stream.h"

#include "common/grpc_status.h"
#include "executor/service/errors.h"

#include "absl/memory/memory.h"

#include <utility>
#include <vector>

namespace vmkeep::executor {
namespace {

constexpr int kBatchEvents = 100;

}  // namespace

std::shared_ptr<EventStream> EventStream::New(EventLog& events, WorkPool& pool, Clock& clock) {
  std::shared_ptr<EventStream> stream(new EventStream(events, pool, clock));
  stream->self_ = stream;
  return stream;
}

void EventStream::Begin(int64_t sequence) {
  auto subscription = events_.Subscribe(sequence, [stream = weak_from_this()] {
    if (const auto alive = stream.lock()) alive->Wake();
  });
  if (!subscription.ok()) return Refuse(subscription.status());
  subscription_ = *std::move(subscription);
  Write();  // an empty batch: the caller sees that it is listened to
}

void EventStream::Refuse(const absl::Status& status) {
  End(status);
  Rest();
}

void EventStream::Wake() {
  {
    MutexLock lock(&mu_);
    again_ = true;
    if (state_ != State::kIdle) return;
    state_ = State::kFilling;
  }
  PostFill();
}

void EventStream::PostFill() {
  if (pool_.Post([stream = shared_from_this()] { stream->Fill(); })) return;
  // The reader comes back and resumes.
  Refuse(error::Overloaded());
}

void EventStream::Fill() {
  {
    MutexLock lock(&mu_);
    again_ = false;
  }
  absl::StatusOr<std::vector<v1::Event>> events = subscription_->Next(kBatchEvents);
  if (!events.ok()) {
    End(events.status());
  } else if (!events->empty()) {
    batch_.Clear();
    for (v1::Event& event : *events) *batch_.add_events() = std::move(event);
    Write();
    return;
  }
  if (Rest()) PostFill();
}

void EventStream::Write() {
  bool ends = false;
  {
    MutexLock lock(&mu_);
    ends = end_.has_value();
    if (!ends) {
      state_ = State::kWriting;
      again_ = true;  // there may be more than a batch
      sent_ = clock_.Monotonic();
    }
  }
  if (ends) {
    Rest();
  } else {
    StartWrite(&batch_);
  }
}

bool EventStream::Rest() {
  grpc::Status status;
  {
    MutexLock lock(&mu_);
    if (!end_) {
      state_ = again_ ? State::kFilling : State::kIdle;
      return again_;
    }
    state_ = State::kEnded;
    status = ToGrpcStatus(*end_);
  }
  Finish(status);
  return false;
}

void EventStream::KeepAlive(absl::Duration idle) {
  {
    MutexLock lock(&mu_);
    if (state_ != State::kIdle || clock_.Monotonic() - sent_ < idle) return;
    state_ = State::kFilling;
  }
  batch_.Clear();
  Write();
}

void EventStream::End(const absl::Status& status) {
  {
    MutexLock lock(&mu_);
    if (end_) return;
    end_ = status;
    if (state_ != State::kIdle) return;  // whoever works now sees it
    state_ = State::kFilling;
  }
  Rest();
}

void EventStream::OnWriteDone(bool ok) {
  if (!ok) End(absl::CancelledError("the reader is gone"));
  if (Rest()) PostFill();
}

void EventStream::OnCancel() { End(absl::CancelledError("the reader is gone")); }

void EventStream::OnDone() {
  // The last reference may be ours: nothing of this object is used after it.
  const std::shared_ptr<EventStream> self = std::move(self_);
}

}  // namespace vmkeep::executor
