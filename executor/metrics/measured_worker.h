#ifndef VMKEEP_EXECUTOR_METRICS_MEASURED_WORKER_H_
#define VMKEEP_EXECUTOR_METRICS_MEASURED_WORKER_H_

#include "common/clock.h"
#include "common/metrics/registry.h"
#include "common/mutex.h"
#include "executor/worker_client/worker_client.h"

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include <map>
#include <stop_token>
#include <string>

namespace vmkeep::executor {

// A Worker whose jobs are counted, timed and logged: the worker itself writes no log, so what it
// did stands in the executor's, with the backup's id where there is one. Thread-safe. Outlived by
// what it is given.
class MeasuredWorker final : public Worker {
 public:
  MeasuredWorker(Worker& worker, metrics::Registry& registry, Clock& clock)
      : worker_(worker), registry_(registry), clock_(clock) {}

  absl::StatusOr<worker::v1::Result> Run(const worker::v1::Request& request,
                                         absl::Duration deadline, absl::Duration stall,
                                         const std::stop_token& stop, const Hooks& hooks) override;

  // What runs now.
  void Collect(metrics::Gauges& gauges) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Begin(const std::string& job) ABSL_LOCKS_EXCLUDED(mu_);
  void End(const std::string& job) ABSL_LOCKS_EXCLUDED(mu_);

  Worker& worker_;
  metrics::Registry& registry_;
  Clock& clock_;
  Mutex mu_;
  std::map<std::string, int> running_ ABSL_GUARDED_BY(mu_);  // by job
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_METRICS_MEASURED_WORKER_H_
