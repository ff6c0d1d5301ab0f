#ifndef VMKEEP_EXECUTOR_APP_H_
#define VMKEEP_EXECUTOR_APP_H_

#include "common/fs/fd.h"
#include "common/metrics/http_server.h"
#include "common/metrics/registry.h"
#include "executor/metrics/executor_metrics.h"
#include "executor/metrics/measured_hypervisor.h"
#include "executor/metrics/measured_worker.h"
#include "executor/options.h"
#include "executor/service/executor_service.h"
#include "executor/task/environment.h"
#include "executor/task/event_log.h"
#include "executor/task/journal/journal.h"
#include "executor/task/overlay_keeper.h"
#include "executor/task/repositories.h"
#include "executor/task/task_manager.h"
#include "executor/worker_client/repository_guard.h"
#include "executor/worker_client/worker_client.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include <grpcpp/server.h>

#include <memory>
#include <string>

namespace vmkeep::executor {

// The executor, wired together: the composition root. Not thread-safe.
class App {
 public:
  // Locks the state folder, goes on with what a crash interrupted, then serves.
  // FAILED_PRECONDITION, STATE_DIR_IN_USE, for a second executor.
  static absl::StatusOr<std::unique_ptr<App>> Start(const Options& options);
  // Whatever is under way is left to the next start.
  ~App();

  // Stops well, within a minute: no new tasks, VMs merged back, ends recorded, streams told.
  void Drain();

 private:
  App(const Options& options, std::unique_ptr<metrics::Registry> metrics, fs::Fd lock,
      std::unique_ptr<Journal> journal, std::unique_ptr<Hypervisor> hypervisor);

  absl::Status ServeMetrics(const std::string& address);
  absl::Status Serve(const Options& options);

  // In the order of use: the last is destroyed first.
  const std::unique_ptr<metrics::Registry> metrics_;
  const fs::Fd lock_;  // on the state folder
  const std::unique_ptr<Journal> journal_;
  ProcessWorker process_worker_;
  RepositoryGuard guard_;
  MeasuredWorker worker_;
  EventLog events_;
  MeasuredHypervisor hypervisor_;
  const Environment env_;
  Repositories repositories_;
  TaskManager tasks_;
  OverlayKeeper overlays_;
  ExecutorService service_;
  ExecutorMetrics state_metrics_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<metrics::HttpServer> metrics_server_;
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_APP_H_
