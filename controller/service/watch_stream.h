#ifndef VMKEEP_CONTROLLER_SERVICE_WATCH_STREAM_H_
#define VMKEEP_CONTROLLER_SERVICE_WATCH_STREAM_H_

#include "common/mutex.h"
#include "controller/progress/watch_hub.h"
#include "controller/service/tokens.h"
#include "vmkeep/v1/backup_service.pb.h"

#include "absl/status/status.h"
#include "absl/time/time.h"
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <optional>

namespace vmkeep::controller {

// Runs something later, on some thread, without blocking the caller.
using RunAfter = std::function<void(absl::Duration, std::function<void()>)>;

struct WatchStreamOptions {
  RunAfter run_after;
  absl::Duration bookmark_every = absl::Seconds(15);
};

// One WatchBackups call: takes from its watcher's bounded buffer, with one write outstanding, so
// that a slow reader costs no memory. Now and then a bookmark says that the stream lives and where
// to resume. Owns itself until the call is done; a cancelled call frees everything. Thread-safe.
class WatchStream final : public grpc::ServerWriteReactor<::vmkeep::v1::WatchBackupsResponse>,
                          public std::enable_shared_from_this<WatchStream> {
 public:
  static WatchStream* Start(WatchHub& hub, WatchHub::Request request, TokenScope scope,
                            const WatchStreamOptions& options);

 private:
  struct Step {
    bool write = false;
    std::optional<absl::Status> finish;
    static Step Wait() { return {false, std::nullopt}; }
    static Step Write() { return {true, std::nullopt}; }
    static Step Finish(absl::Status status) { return {false, std::move(status)}; }
  };

  WatchStream(TokenScope scope, WatchStreamOptions options)
      : scope_(std::move(scope)), options_(std::move(options)) {}

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // Does what can be done now. Any thread; one of them at a time, a second one leaves its turn to
  // the first.
  void Pump() ABSL_LOCKS_EXCLUDED(mu_);
  void PumpOnce() ABSL_LOCKS_EXCLUDED(mu_);
  // The next step; fills `response_` for a write. By the pumping thread only.
  Step NextStep(bool bookmark_due);
  void Fill(const Watcher::Item& item);
  void OnBookmarkTime() ABSL_LOCKS_EXCLUDED(mu_);
  void ArmBookmark();

  const TokenScope scope_;
  const WatchStreamOptions options_;
  std::shared_ptr<WatchStream> self_;  // until OnDone()

  // Of the pumping thread.
  std::shared_ptr<Watcher> watcher_;
  ::vmkeep::v1::WatchBackupsResponse response_;  // of the write under way
  bool said_goodbye_ = false;

  Mutex mu_;
  bool pumping_ ABSL_GUARDED_BY(mu_) = true;  // by Start(), until the watcher is there
  bool pump_again_ ABSL_GUARDED_BY(mu_) = true;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  bool gone_ ABSL_GUARDED_BY(mu_) = false;  // cancelled, or a write failed
  bool bookmark_due_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_SERVICE_WATCH_STREAM_H_
