#ifndef VMKEEP_CONTROLLER_DISPATCH_EXECUTOR_CLIENT_H_
#define VMKEEP_CONTROLLER_DISPATCH_EXECUTOR_CLIENT_H_

#include "controller/domain/backup.h"
#include "controller/domain/executor_event.h"
#include "controller/domain/inventory.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace vmkeep::controller {

struct KnownTask {
  TaskRef task;
  BackupId backup_id;
  bool ended = false;
};
struct HostInventory {
  std::vector<VmRecord> vms;
  std::vector<RepositoryRecord> repositories;
};

// One executor. Every call answers through its callback exactly once, from some thread, within its
// deadline; none blocks. Errors carry the executor's reason; an unreachable host is kUnavailable.
// Destroying it cancels what is under way and waits for its end: not on a thread that a callback
// came on. Thread-safe.
class ExecutorClient {
 public:
  template <typename T>
  using Callback = std::function<void(absl::StatusOr<T>)>;
  struct Hello {
    HostRecord host;  // without id and address
    int64_t last_sequence = 0;
    int protocol = 0;  // the one to speak; whoever uses the client judges it
  };

  virtual ~ExecutorClient() = default;
  virtual void SayHello(const std::string& controller_id, Callback<Hello> done) = 0;
  // `record` with its task fields set: a backup, or a scrub when task_is_scrub. Value: already
  // known.
  virtual void StartTask(const BackupRecord& record, Callback<bool> done) = 0;
  virtual void CancelTask(const TaskRef& task, Callback<bool> done) = 0;
  virtual void ListTasks(Callback<std::vector<KnownTask>> done) = 0;
  virtual void GetInventory(Callback<HostInventory> done) = 0;
  virtual void InitRepository(int slot, bool allow_plain_directory,
                              Callback<RepositoryRecord> done) = 0;
  virtual void AckEvents(int64_t sequence, Callback<bool> done) = 0;
  // Events after `sequence` until `ended` is called; an empty batch is a sign of life. The client
  // reads the next batch only after `batch` returned. Destroying the client ends it.
  virtual void StreamEvents(int64_t after_sequence,
                            std::function<void(std::vector<ExecutorEvent>)> batch,
                            std::function<void(absl::Status)> ended) = 0;
};

// Dials a host: the address is "unix:/path" or "host:port".
using ExecutorClientFactory =
    std::function<absl::StatusOr<std::shared_ptr<ExecutorClient>>(const std::string& address)>;

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_DISPATCH_EXECUTOR_CLIENT_H_
