#ifndef VMKEEP_EXECUTOR_METRICS_EXECUTOR_METRICS_H_
#define VMKEEP_EXECUTOR_METRICS_EXECUTOR_METRICS_H_

#include "common/metrics/registry.h"
#include "executor/metrics/measured_hypervisor.h"
#include "executor/metrics/measured_worker.h"
#include "executor/task/environment.h"
#include "executor/task/repositories.h"
#include "executor/task/task_manager.h"
#include "executor/worker_client/repository_guard.h"

namespace vmkeep::executor {

// What a scrape of the executor says, from memory and the journal: it asks neither the hypervisor
// nor a repository, so a sick one holds up no scrape. Thread-safe. Outlived by what it is given.
class ExecutorMetrics {
 public:
  ExecutorMetrics(const Environment& env, TaskManager& tasks, Repositories& repositories,
                  MeasuredHypervisor& hypervisor, MeasuredWorker& worker, RepositoryGuard& guard)
      : env_(env),
        tasks_(tasks),
        repositories_(repositories),
        hypervisor_(hypervisor),
        worker_(worker),
        guard_(guard) {}

  void Collect(metrics::Gauges& gauges);

 private:
  void CollectTasks(metrics::Gauges& gauges);
  void CollectOverlays(metrics::Gauges& gauges);
  void CollectRepositories(metrics::Gauges& gauges);

  const Environment& env_;
  TaskManager& tasks_;
  Repositories& repositories_;
  MeasuredHypervisor& hypervisor_;
  MeasuredWorker& worker_;
  RepositoryGuard& guard_;
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_METRICS_EXECUTOR_METRICS_H_
