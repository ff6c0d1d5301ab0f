#ifndef VMKEEP_CONTROLLER_APP_H_
#define VMKEEP_CONTROLLER_APP_H_

#include "common/clock.h"
#include "common/metrics/http_server.h"
#include "common/metrics/registry.h"
#include "controller/dispatch/dispatcher.h"
#include "controller/dispatch/executor_client.h"
#include "controller/dispatch/loop.h"
#include "controller/inventory/inventory.h"
#include "controller/metrics/controller_metrics.h"
#include "controller/options.h"
#include "controller/progress/live_state.h"
#include "controller/progress/recorder.h"
#include "controller/progress/watch_hub.h"
#include "controller/service/backup_service.h"
#include "controller/service/gate.h"
#include "controller/service/inventory_service.h"
#include "controller/store/backup_store.h"
#include "controller/tasks/scheduler.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include <grpcpp/server.h>

#include <memory>
#include <vector>

namespace vmkeep::controller {

// The composition root: makes all parts, in the order in which they need each other, and serves
// until Stop().
class App {
 public:
  // What is not from a flag; tests give their own.
  struct Parts {
    Clock& clock;
    ExecutorClientFactory dial;
    HostLinkOptions links;
    SchedulerOptions scheduler;  // its limits come from Options
  };
  // Parts for production: the machine's clock, gRPC, random jitter.
  static Parts RealParts(const Options& options);

  // Opens the store, takes up what is open, dials the hosts, then serves.
  static absl::StatusOr<std::unique_ptr<App>> Start(const Options& options, Parts parts);
  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  // Drains: not serving, no new calls, watchers told where to resume, scheduler and links stopped,
  // the server shut down within the deadline, the store closed last. What runs on the hosts goes on
  // there. Once; the destructor does it too.
  void Stop();

  const std::vector<int>& ports() const {
    return ports_;
  }  // as bound, one per listener; 1 for a unix socket
  int metrics_port() const {
    return metrics_server_ == nullptr ? 0 : metrics_server_->port();
  }  // 0: no metrics
  grpc::Server& server() { return *server_; }

 private:
  App(const Options& options, Parts parts, std::unique_ptr<BackupStore> store);
  absl::Status TakeUp();
  absl::Status Serve();
  absl::Status ServeMetrics();

  const Options options_;
  Clock& clock_;
  metrics::Registry metrics_;
  std::unique_ptr<BackupStore> store_;
  const std::shared_ptr<ThreadLoop> loop_;
  Inventory inventory_;
  LiveState live_;
  Recorder recorder_;
  std::unique_ptr<WatchHub> hub_;
  Dispatcher dispatcher_;
  Scheduler scheduler_;
  Gate gate_;
  BackupService backup_service_;
  InventoryService inventory_service_;
  const ControllerMetrics state_metrics_;
  std::unique_ptr<metrics::HttpServer> metrics_server_;
  std::vector<int> ports_;
  std::unique_ptr<grpc::Server> server_;
  bool stopped_ = false;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_APP_H_
