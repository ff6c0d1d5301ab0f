#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_SESSION_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_SESSION_H_

#include "common/mutex.h"
#include "executor/hypervisor/libvirt/handles.h"

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include <libvirt/libvirt.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::executor::libvirt {

// VM, disk target, virConnectDomainEventBlockJobStatus of a commit. On libvirt's event thread: it
// must not block.
using BlockJobListener =
    std::function<void(const std::string& vm_uuid, const std::string& target, int status)>;

// What libvirt's event thread leaves for ours. Holds no connection: the event thread must never be
// the one that closes it, as that asks the server, and the answer comes through the event thread.
struct Bulletin {
  explicit Bulletin(BlockJobListener listener) : block_job(std::move(listener)) {}

  const BlockJobListener block_job;
  Mutex mu;
  CondVar news;
  bool domains_changed ABSL_GUARDED_BY(mu) = false;
};

// One connection to libvirt with our events registered. Closing asks the server: destroy it only on
// a thread that may wait for ever.
class Session {
 public:
  // Blocks as long as libvirt does.
  static absl::StatusOr<std::shared_ptr<Session>> Open(const std::string& uri,
                                                       std::shared_ptr<Bulletin> bulletin);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  virConnectPtr connection() const { return connection_.get(); }
  // Set when the connection died or is not to be used any more.
  const std::shared_ptr<std::atomic<bool>>& dead() const { return dead_; }

 private:
  explicit Session(ConnectionHandle connection) : connection_(std::move(connection)) {}
  bool Listen(const std::shared_ptr<Bulletin>& bulletin);

  const ConnectionHandle connection_;
  const std::shared_ptr<std::atomic<bool>> dead_ = std::make_shared<std::atomic<bool>>(false);
  bool close_watched_ = false;
  std::vector<int> events_;
};

}  // namespace vmkeep::executor::libvirt

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_SESSION_H_
