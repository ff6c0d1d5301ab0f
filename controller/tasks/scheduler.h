#ifndef VMKEEP_CONTROLLER_TASKS_SCHEDULER_H_
#define VMKEEP_CONTROLLER_TASKS_SCHEDULER_H_

#include "common/clock.h"
#include "common/mutex.h"
#include "controller/dispatch/dispatcher.h"
#include "controller/dispatch/loop.h"
#include "controller/inventory/inventory.h"
#include "controller/progress/live_state.h"
#include "controller/progress/recorder.h"
#include "controller/store/backup_store.h"
#include "controller/tasks/scheduler_core.h"

#include "absl/status/status.h"

#include <memory>
#include <vector>

namespace vmkeep::controller {

// Runs the SchedulerCore on the loop: collects what happens, gives it to the core in batches, and
// carries out its commands through the Recorder and the Dispatcher. What it knows is rebuilt from
// the store at each start. Thread-safe. Lives until the loop has stopped and the store is closed.
class Scheduler {
 public:
  Scheduler(const SchedulerOptions& options, Recorder& recorder, LiveState& live,
            Inventory& inventory, Dispatcher& dispatcher, std::shared_ptr<Loop> loop, Clock& clock);

  // Takes up the open records; may wait for the store. Before the first host is dialled and the
  // inventory is loaded.
  absl::Status Start(BackupStore& store);

  // From the store's observer: every commit, in order.
  void OnCommitted(const std::vector<BackupRecord>& records);
  void OnInventoryChanged();
  // The links' hooks: to be set at the dispatcher.
  HostLinkContext::Hooks LinkHooks();

  // From now on nothing begins and nothing is sent; what runs on the hosts goes on there.
  void Drain();

 private:
  void Push(SchedulerEvent event) ABSL_LOCKS_EXCLUDED(mu_);
  void StepHere() ABSL_LOCKS_EXCLUDED(mu_);
  Recorder::Done Written(const BackupId& id);

  void Run(const scheduler_command::BeginTask& command);
  void Run(const scheduler_command::StartTask& command);
  void Run(const scheduler_command::CancelTask& command);
  void Run(const scheduler_command::RejectTask& command);
  void Run(const scheduler_command::CloseWithoutTask& command);
  void Run(const scheduler_command::SetCondition& command);
  void Run(const scheduler_command::ClearCondition& command);
  void Run(const scheduler_command::ArmTimer& command);

  Recorder& recorder_;
  LiveState& live_;
  Inventory& inventory_;
  Dispatcher& dispatcher_;
  const std::shared_ptr<Loop> loop_;
  Clock& clock_;

  SchedulerCore core_;  // on the loop only

  Mutex mu_;
  std::vector<SchedulerEvent> inbox_ ABSL_GUARDED_BY(mu_);
  bool inventory_moved_ ABSL_GUARDED_BY(mu_) = false;  // read once per step, however often it moved
  bool posted_ ABSL_GUARDED_BY(mu_) = false;           // a step that will see all this
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_TASKS_SCHEDULER_H_
