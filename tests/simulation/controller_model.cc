#include "tests/simulation/controller_model.h"

#include "controller/service/create_backup.h"
#include "controller/service/retry_backup.h"
#include "controller/service/update_backup.h"

#include <cstdlib>
#include <utility>
#include <vector>

namespace vmkeep::sim {
namespace {

controller::Caller User() { return {"alice", controller::kLocalProject, controller::Role::kUser}; }

controller::SchedulerOptions Options(Base& base) {
  controller::SchedulerOptions options;
  options.seed = base.random.Next();
  return options;
}
controller::HostLinkOptions LinkOptions(Base& base) {
  controller::HostLinkOptions options;
  options.seed = base.random.Next();
  return options;
}

}  // namespace

ControllerModel::ControllerModel(Base& base, StoreDisk& disk,
                                 controller::ExecutorClientFactory dial,
                                 std::function<void(const controller::BackupRecord&)> committed)
    : base_(base),
      store_(base, disk),
      loop_(std::make_shared<SimLoop>(base.time)),
      inventory_(store_, base.clock),
      live_(base.clock),
      recorder_(store_, live_, base.clock),
      dispatcher_(controller::HostLinkContext{inventory_,
                                              loop_,
                                              base.clock,
                                              std::move(dial),
                                              store_.controller_id(),
                                              LinkOptions(base),
                                              {}}),
      scheduler_(Options(base), recorder_, live_, inventory_, dispatcher_, loop_, base.clock) {
  store_.SetObserver([this, committed = std::move(committed)](
                         const std::vector<controller::BackupRecord>& records) {
    for (const controller::BackupRecord& record : records) committed(record);
    scheduler_.OnCommitted(records);
  });
  dispatcher_.SetHooks(scheduler_.LinkHooks());
  if (!scheduler_.Start(store_).ok()) std::abort();  // the model's store can always be read
  inventory_.OnChange([this] {
    dispatcher_.SyncHosts();
    scheduler_.OnInventoryChanged();
  });
  if (!inventory_.Load().ok()) std::abort();
  scheduler_.OnInventoryChanged();
  dispatcher_.SyncHosts();
}

ControllerModel::~ControllerModel() {
  loop_->Kill();
  dispatcher_.Clear();
}

void ControllerModel::Create(const controller::CreateInput& input, Answer done) {
  CreateBackup(store_, inventory_, base_.clock, User(), input, std::move(done));
}

void ControllerModel::Scrub(const controller::BackupId& id, Answer done) {
  controller::UpdateInput input;
  input.id = id;
  input.scrub = true;
  UpdateBackup(store_, base_.clock, User(), input, std::move(done));
}

void ControllerModel::Retry(const controller::BackupId& id, Answer done) {
  RetryBackup(store_, inventory_, User(), {id, ""}, std::move(done));
}

void ControllerModel::RegisterHost(const std::string& id) {
  inventory_.RegisterHost(id, id, [](const auto&) {});
}

void ControllerModel::SetDraining(const std::string& id, bool draining) {
  inventory_.UpdateHost(id, {.draining = draining, .executor_id = {}}, [](const auto&) {});
}

}  // namespace vmkeep::sim
