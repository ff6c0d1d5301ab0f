#ifndef VMKEEP_TESTS_INTEGRATION_CONTROLLER_WALK_WALK_WORLD_H_
#define VMKEEP_TESTS_INTEGRATION_CONTROLLER_WALK_WALK_WORLD_H_

#include "common/mutex.h"
#include "controller/access/identity.h"
#include "controller/inventory/inventory.h"
#include "controller/progress/live_state.h"
#include "controller/progress/recorder.h"
#include "controller/service/validate.h"
#include "controller/store/backup_store.h"
#include "controller/tasks/scheduler_core.h"
#include "tests/contract/store/store_kinds.h"
#include "tests/fakes/fake_clock.h"
#include "tests/integration/controller/walk/walk_host.h"
#include "tests/support/temp_dir.h"

#include "absl/status/status.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::controller::test {

// What a call answered. Backups are called by number, in the order in which they were made, so that
// two worlds can be compared whose ids differ.
struct WalkAnswer {
  std::string reason;  // of the error; empty: OK
  std::string words;   // the whole answer, with numbers for ids
  int number = -1;     // of the backup that was answered
};

// The verbs of the API, the recorder, the inventory and the scheduler's core on one store, with two
// hosts, everything in one thread: each call returns when nothing is left to do.
class WalkWorld {
 public:
  explicit WalkWorld(StoreKind kind);
  ~WalkWorld();

  // The API. `number` may be one that was never made.
  WalkAnswer Create(const CreateInput& input);
  WalkAnswer Update(int number, UpdateInput input);
  WalkAnswer Retry(int number, const std::string& etag);
  WalkAnswer UpdateHost(const HostId& id, const Inventory::HostChange& change);
  WalkAnswer DeleteHost(const HostId& id);
  WalkAnswer RegisterHost(const HostId& id);
  WalkAnswer RegisterVm(const std::string& id, const std::string& uuid);

  // What happens around it.
  void Finish(const HostId& id, int number, const WalkEnd& end);
  void SetOnline(const HostId& id, bool online);
  void ChangeVm(const HostId& id, const std::string& uuid, const std::optional<VmRecord>& vm);
  void Pass(absl::Duration time);
  void Restart();  // of the controller: another process on the same store

  // All records by number, from a list in each order and in pages; a list that disagrees with Get
  // fails the test.
  std::vector<BackupRecord> Look();
  // The record and its conditions in words, with numbers for ids.
  std::string Words(const BackupRecord& record);
  // Every state that a backup was in, in commit order, by number.
  std::map<int, std::vector<BackupState>> Paths();
  std::vector<int> Running(const HostId& id);  // the backups whose tasks its executor runs
  bool IsOnline(const HostId& id) const { return online_.at(id); }
  absl::Time Now() { return clock_.Now(); }
  const SchedulerCore& core() const { return *core_; }
  const LiveState& live() const { return *live_; }
  const WalkDisks& disks() const { return disks_; }
  WalkHost& host(const HostId& id) { return *hosts_.at(id); }
  BackupId IdOf(int number) const;
  int NumberOf(const BackupId& id) const;  // -1: none of ours

 private:
  void Begin();
  void Push(SchedulerEvent event) ABSL_LOCKS_EXCLUDED(mu_);
  void PushInventory();
  void Settle();
  void Report(const HostId& id);  // the events that its executor has, if it is heard
  WalkAnswer AnswerOf(const absl::StatusOr<BackupRecord>& record);
  WalkAnswer AnswerOf(const absl::Status& status);
  std::string WithNumbers(std::string text) const;
  std::vector<BackupRecord> List(bool oldest_first, int page_size);
  Recorder::Done Written(const BackupId& id, std::function<void()> answered);

  void Run(const scheduler_command::BeginTask& command);
  void Run(const scheduler_command::StartTask& command);
  void Run(const scheduler_command::CancelTask& command);
  void Run(const scheduler_command::RejectTask& command);
  void Run(const scheduler_command::CloseWithoutTask& command);
  void Run(const scheduler_command::SetCondition& command);
  void Run(const scheduler_command::ClearCondition& command);
  void Run(const scheduler_command::ArmTimer&) {}

  const StoreKind kind_;
  vmkeep::test::TempDir folder_;
  vmkeep::test::FakeClock clock_;
  WalkDisks disks_;
  std::map<HostId, std::unique_ptr<WalkHost>> hosts_;
  std::map<HostId, bool> online_;
  std::vector<BackupId> ids_;

  std::unique_ptr<BackupStore> store_;
  std::unique_ptr<Inventory> inventory_;
  std::unique_ptr<LiveState> live_;
  std::unique_ptr<Recorder> recorder_;
  std::unique_ptr<SchedulerCore> core_;

  Mutex mu_;
  std::vector<SchedulerEvent> inbox_ ABSL_GUARDED_BY(mu_);
  std::map<BackupId, std::vector<BackupState>> paths_ ABSL_GUARDED_BY(mu_);
};

}  // namespace vmkeep::controller::test

#endif  // VMKEEP_TESTS_INTEGRATION_CONTROLLER_WALK_WALK_WORLD_H_
