#ifndef VMKEEP_CONTROLLER_DISPATCH_DISPATCHER_H_
#define VMKEEP_CONTROLLER_DISPATCH_DISPATCHER_H_

#include "controller/dispatch/host_link.h"

#include <atomic>
#include <map>
#include <memory>

namespace vmkeep::controller {

// One link per registered host, on the loop. Every method but InitRepository and SyncHosts is
// called there. Stop the loop before destroying it.
class Dispatcher {
 public:
  explicit Dispatcher(HostLinkContext context) : context_(std::move(context)) {}

  // Before anything else.
  void SetHooks(HostLinkContext::Hooks hooks) { context_.hooks = std::move(hooks); }
  // Dials the hosts that the inventory knows and this does not, and those whose address or executor
  // changed; lets go of those that it does not know any more.
  // Thread-safe.
  void SyncHosts();

  void StartTask(const BackupRecord& record, std::function<void(absl::Status)> done);
  void CancelTask(const HostId& host, const TaskRef& task,
                  const std::function<void(absl::StatusOr<bool>)>& done);
  // Thread-safe. Always answers: UNAVAILABLE when the loop stops before the executor answers.
  void InitRepository(const HostId& host, int slot, bool allow_plain_directory,
                      std::function<void(absl::StatusOr<RepositoryRecord>)> done);

  // Ends all connections; after the loop stopped.
  void Clear() { links_.clear(); }

 private:
  HostLink* Find(const HostId& host) const;
  void SyncHostsHere();

  HostLinkContext context_;
  std::map<HostId, std::shared_ptr<HostLink>> links_;
  std::atomic<bool> sync_posted_ = false;  // one that has not looked yet
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_DISPATCH_DISPATCHER_H_
