#ifndef VMKEEP_CONTROLLER_METRICS_CONTROLLER_METRICS_H_
#define VMKEEP_CONTROLLER_METRICS_CONTROLLER_METRICS_H_

#include "common/clock.h"
#include "common/metrics/registry.h"
#include "controller/inventory/inventory.h"
#include "controller/progress/live_state.h"
#include "controller/store/backup_store.h"

#include "absl/time/time.h"

namespace vmkeep::controller {

// What a scrape of the controller says, looked up when it is asked: nothing is counted twice, so
// nothing can drift. Thread-safe. Outlived by what it is given; Registry::Close() ends its use.
class ControllerMetrics {
 public:
  ControllerMetrics(BackupStore& store, const Inventory& inventory, const LiveState& live,
                    Clock& clock);

  // Waits for the store, a second at the most; without its answer the rest is said all the same.
  void Collect(metrics::Gauges& gauges) const;

 private:
  void CollectRecords(metrics::Gauges& gauges) const;
  void CollectHosts(metrics::Gauges& gauges) const;
  void CollectOverlays(metrics::Gauges& gauges) const;
  void CollectRepositories(metrics::Gauges& gauges) const;

  BackupStore& store_;
  const Inventory& inventory_;
  const LiveState& live_;
  Clock& clock_;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_METRICS_CONTROLLER_METRICS_H_
