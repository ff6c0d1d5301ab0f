#ifndef VMKEEP_EXECUTOR_SERVICE_EVENT_STREAM_H_
#define VMKEEP_EXECUTOR_SERVICE_EVENT_STREAM_H_

#include "common/clock.h"
#include "common/mutex.h"
#include "executor/service/work_pool.h"
#include "executor/task/event_log.h"
#include "vmkeep/executor/v1/executor_service.grpc.pb.h"

#include "absl/status/status.h"
#include "absl/time/time.h"
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <optional>

namespace vmkeep::executor {

// One StreamEvents call. At most one batch is in memory and one write outstanding, however slow the
// reader is; durable events wait in the journal. Reads of the journal happen on the pool. Owns
// itself until gRPC is done with it; thread-safe.
class EventStream final : public grpc::ServerWriteReactor<v1::StreamEventsResponse>,
                          public std::enable_shared_from_this<EventStream> {
 public:
  static std::shared_ptr<EventStream> New(EventLog& events, WorkPool& pool, Clock& clock);

  // Subscribes after `sequence` and sends; or ends the call at once. One of them, once.
  void Begin(int64_t sequence);
  void Refuse(const absl::Status& status);
  // Sends an empty batch when nothing was sent for `idle`.
  void KeepAlive(absl::Duration idle) ABSL_LOCKS_EXCLUDED(mu_);
  // Ends the call, after the write under way. Only the first end counts.
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  enum class State { kIdle, kFilling, kWriting, kEnded };

  EventStream(EventLog& events, WorkPool& pool, Clock& clock)
      : events_(events), pool_(pool), clock_(clock) {}

  // Something new may be there. From any thread; does not block.
  void Wake() ABSL_LOCKS_EXCLUDED(mu_);
  void PostFill();
  void Fill() ABSL_LOCKS_EXCLUDED(mu_);  // on the pool
  void Write() ABSL_LOCKS_EXCLUDED(mu_);
  // From kFilling or kWriting to kIdle or kEnded; true when there is more to do at once.
  bool Rest() ABSL_LOCKS_EXCLUDED(mu_);

  EventLog& events_;
  WorkPool& pool_;
  Clock& clock_;
  std::shared_ptr<EventStream> self_;  // until OnDone()
  std::shared_ptr<EventLog::Subscription> subscription_;
  v1::StreamEventsResponse batch_;  // of the write under way

  Mutex mu_;
  State state_ ABSL_GUARDED_BY(mu_) = State::kFilling;
  bool again_ ABSL_GUARDED_BY(mu_) = false;  // woken while not idle
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);
  absl::Duration sent_ ABSL_GUARDED_BY(mu_);
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_SERVICE_EVENT_STREAM_H_
