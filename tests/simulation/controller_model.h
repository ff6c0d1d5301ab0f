#ifndef VMKEEP_TESTS_SIMULATION_CONTROLLER_MODEL_H_
#define VMKEEP_TESTS_SIMULATION_CONTROLLER_MODEL_H_

#include "controller/dispatch/dispatcher.h"
#include "controller/inventory/inventory.h"
#include "controller/progress/live_state.h"
#include "controller/progress/recorder.h"
#include "controller/service/validate.h"
#include "controller/tasks/scheduler.h"
#include "tests/simulation/sim_loop.h"
#include "tests/simulation/sim_store.h"
#include "tests/simulation/trace.h"

#include "absl/status/statusor.h"

#include <functional>
#include <memory>
#include <string>

namespace vmkeep::sim {

// One process of a controller: all real (verbs, recorder, inventory, scheduler, links), on a loop
// and a store in virtual time. Wired as controller/app.cc does. Destroying it is kill -9.
class ControllerModel {
 public:
  // `committed`: what became durable and was heard of.
  ControllerModel(Base& base, StoreDisk& disk, controller::ExecutorClientFactory dial,
                  std::function<void(const controller::BackupRecord&)> committed);
  ~ControllerModel();
  ControllerModel(const ControllerModel&) = delete;
  ControllerModel& operator=(const ControllerModel&) = delete;

  // The API; answered later, or never.
  using Answer = std::function<void(absl::StatusOr<controller::BackupRecord>)>;
  void Create(const controller::CreateInput& input, Answer done);
  void Scrub(const controller::BackupId& id, Answer done);
  void Retry(const controller::BackupId& id, Answer done);
  void RegisterHost(const std::string& id);
  void SetDraining(const std::string& id, bool draining);

 private:
  Base& base_;
  SimStore store_;
  const std::shared_ptr<SimLoop> loop_;
  controller::Inventory inventory_;
  controller::LiveState live_;
  controller::Recorder recorder_;
  controller::Dispatcher dispatcher_;
  controller::Scheduler scheduler_;
};

}  // namespace vmkeep::sim

#endif  // VMKEEP_TESTS_SIMULATION_CONTROLLER_MODEL_H_
