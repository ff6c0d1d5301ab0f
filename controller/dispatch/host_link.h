#ifndef VMKEEP_CONTROLLER_DISPATCH_HOST_LINK_H_
#define VMKEEP_CONTROLLER_DISPATCH_HOST_LINK_H_

#include "common/backoff.h"
#include "common/clock.h"
#include "controller/dispatch/executor_client.h"
#include "controller/dispatch/loop.h"
#include "controller/domain/backup.h"
#include "controller/domain/executor_event.h"
#include "controller/inventory/inventory.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace vmkeep::controller {

struct HostLinkOptions {
  absl::Duration silence = absl::Seconds(45);  // a stream without any message for this long is dead
  absl::Duration retry_first = absl::Milliseconds(500);
  absl::Duration retry_max = absl::Seconds(30);
  absl::Duration inventory_every =
      absl::Minutes(1);  // also without a sign of change: free space moves
  uint64_t seed = 0;     // of the jitter
};

// What all links share.
struct HostLinkContext {
  // Who hears of it; called on the loop.
  struct Hooks {
    std::function<void(const HostId&, std::vector<KnownTask>)> online;
    std::function<void(const HostId&, const std::string& message)> offline;
    // Makes events of the host's executor durable and answers, on any thread, with the last
    // sequence that is. One call at a time per host.
    std::function<void(const HostId&, const std::string& executor_id, std::vector<ExecutorEvent>,
                       std::function<void(absl::StatusOr<int64_t>)>)>
        record;
  };
  Inventory& inventory;
  std::shared_ptr<Loop> loop;
  Clock& clock;
  ExecutorClientFactory dial;
  std::string controller_id;
  HostLinkOptions options;
  Hooks hooks;
};

// The connection to one host: Hello, GetInventory, ListTasks, then its events from the last one
// that is durable here; acknowledged only after they are. A lost connection costs nothing: it is
// made again, with growing delays. Lives on the loop: every method is called there. Held by
// shared_ptr; destroying it ends the connection.
class HostLink : public std::enable_shared_from_this<HostLink> {
 public:
  HostLink(const HostLinkContext& context, const HostRecord& host);

  void Connect();
  // Another address, or another executor than the pinned one: the connection is made anew.
  void Follow(const HostRecord& host);
  const std::string& address() const { return address_; }

  // Each answers on the loop, exactly once, unless the loop stops before. HOST_UNREACHABLE when not
  // connected.
  void StartTask(const BackupRecord& record, std::function<void(absl::Status)> done);
  // True: the executor neither runs the task nor has an end of it to report, and never will accept
  // it.
  void CancelTask(const TaskRef& task, const std::function<void(absl::StatusOr<bool>)>& done);
  // Answers after the inventory knows of the repository too.
  void InitRepository(int slot, bool allow_plain_directory,
                      const std::function<void(absl::StatusOr<RepositoryRecord>)>& done);

 private:
  template <typename T>
  using Next = void (HostLink::*)(T);

  // A callback for any thread that goes on here, on the loop, if the connection is still the same.
  template <typename T>
  std::function<void(T)> Here(Next<T> next);
  // The same for a caller's callback, which is answered even when the connection ends.
  template <typename T>
  std::function<void(T)> There(std::function<void(T)> done);
  void After(absl::Duration delay, void (HostLink::*next)());

  void OnHello(absl::StatusOr<ExecutorClient::Hello> hello);
  void OnHelloRecorded(const absl::Status& status);
  void OnFirstInventory(absl::StatusOr<HostInventory> inventory);
  void OnTasks(absl::StatusOr<std::vector<KnownTask>> tasks);
  void OnBatch(std::vector<ExecutorEvent> events);
  void OnStreamEnded(const absl::Status& status);
  void OnRecorded(absl::StatusOr<int64_t> sequence);
  void OnAcknowledged(const absl::StatusOr<bool>& answer);
  void OnInventory(absl::StatusOr<HostInventory> inventory);

  void RecordNext();
  void Acknowledge();
  void RefreshInventory();
  void RefreshNowAndThen();
  void CheckSilence();
  void Disconnect(const absl::Status& why);
  absl::Status NotConnected() const;

  const HostLinkContext& context_;
  const HostId id_;
  std::string address_;
  std::string executor_id_;  // pinned; empty before the first contact
  Backoff backoff_;

  std::string speaking_;  // the executor that answered this connection's Hello
  std::shared_ptr<ExecutorClient> client_;
  int64_t generation_ = 0;  // of the connection: answers of an older one are dropped
  bool online_ = false;
  std::string why_offline_ = "not connected yet";
  int64_t stream_after_ = 0;
  absl::Duration last_heard_;

  std::vector<ExecutorEvent> queued_;  // not given to `record` yet
  bool recording_ = false;
  int64_t recorded_ = 0;
  int64_t acknowledged_ = 0;
  bool acknowledging_ = false;
  bool refreshing_ = false;
  bool refresh_again_ = false;
  std::vector<std::function<void()>> after_refresh_;  // of the refresh under way
  std::vector<std::function<void()>> after_next_refresh_;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_DISPATCH_HOST_LINK_H_
