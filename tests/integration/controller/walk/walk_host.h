#ifndef VMKEEP_TESTS_INTEGRATION_CONTROLLER_WALK_WALK_HOST_H_
#define VMKEEP_TESTS_INTEGRATION_CONTROLLER_WALK_WALK_HOST_H_

#include "controller/dispatch/executor_client.h"
#include "controller/domain/backup.h"
#include "controller/domain/executor_event.h"
#include "controller/domain/inventory.h"

#include "absl/status/status.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::controller::test {

// What lies in the repositories, which all hosts see: folders by repository and backup, and what
// failed tries left there, which only the host of the try can remove.
struct WalkDisks {
  std::set<std::pair<std::string, BackupId>> published;
  std::map<std::pair<std::string, BackupId>, std::set<HostId>> leftovers;
  // Leftovers of tries that never came to the publish, where the repository was at fault: the host
  // removes them by itself when it is well. No record needs to know of them.
  std::map<std::pair<std::string, BackupId>, std::set<HostId>> incoming;
};

// How a task ends.
struct WalkEnd {
  Outcome outcome = Outcome::kDone;
  bool retryable = false;
  bool snapshot_taken = false;
  bool files_may_remain = false;
  bool vm_on_overlay = false;
  bool repository_fault = false;  // of a backup
  bool publishing = false;        // it failed there
};

// One host and its executor, which goes on whether the controller hears it or not: accepts tasks
// durably, one per VM, fences by epoch, keeps events until they are acknowledged.
class WalkHost {
 public:
  struct Task {
    TaskRef ref;
    BackupId backup;
    std::string vm_uuid;
    std::string repository_id;
    bool scrub = false;
    bool cancelled = false;
  };

  WalkHost(HostId id, WalkDisks& disks) : id_(std::move(id)), disks_(disks) {}

  std::string executor_id() const { return "executor-of-" + id_; }
  HostInventory inventory() const;
  std::vector<KnownTask> tasks() const;
  const std::map<BackupId, Task>& running() const { return running_; }

  absl::Status Start(const BackupRecord& record);
  // True: neither running nor ended without a report, and never to be accepted.
  bool Cancel(const TaskRef& ref);
  // Ends the backup's task, with what that leaves on the disks and of the VM.
  void Finish(const BackupId& backup, const WalkEnd& end);
  // Events that are not acknowledged.
  const std::vector<ExecutorEvent>& events() const { return events_; }
  void Acknowledge(int64_t sequence);

  std::map<std::string, VmRecord> vms;  // by UUID

 private:
  const HostId id_;
  WalkDisks& disks_;
  std::map<BackupId, Task> running_;
  std::map<BackupId, int64_t> highest_epoch_;
  std::set<std::string> fenced_;
  std::vector<ExecutorEvent> events_;
  int64_t sequence_ = 0;
};

}  // namespace vmkeep::controller::test

#endif  // VMKEEP_TESTS_INTEGRATION_CONTROLLER_WALK_WALK_HOST_H_
