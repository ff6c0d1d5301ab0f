#ifndef VMKEEP_CONTROLLER_TASKS_SCHEDULER_CORE_H_
#define VMKEEP_CONTROLLER_TASKS_SCHEDULER_CORE_H_

#include "common/backoff.h"
#include "controller/dispatch/executor_client.h"
#include "controller/domain/backup.h"
#include "controller/domain/executor_event.h"
#include "controller/domain/inventory.h"
#include "controller/domain/lifecycle.h"
#include "controller/placement/repository_selector.h"
#include "controller/progress/recorder.h"

#include "absl/status/status.h"
#include "absl/time/time.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace vmkeep::controller {

struct SchedulerOptions {
  int tasks_per_host = 2;
  int tasks_per_repository = 4;  // per repository UUID, whichever hosts write to it
  absl::Duration retry_first = absl::Seconds(5);
  absl::Duration retry_max = absl::Minutes(5);
  uint64_t seed = 0;  // of the jitter
};

// What happened. Records come in commit order.
namespace scheduler_event {
struct RecordChanged {
  BackupRecord record;
};
// The link to the host stands; `tasks` is what its executor has, listed after all that it reported
// before.
struct HostOnline {
  HostId host;
  std::vector<KnownTask> tasks;
};
struct HostOffline {
  HostId host;
  std::string message;
};
struct InventoryChanged {
  std::vector<RepositoryRecord> repositories;  // all, of all hosts
  std::set<HostId> draining = {};              // hosts where nothing new starts
};
// A BeginTask, RejectTask or CloseWithoutTask command reached the store, or did not. What it
// changed came as RecordChanged before.
struct Written {
  BackupId id;
  absl::Status status;
};
struct StartAccepted {
  BackupId id;
  int64_t call = 0;
};
struct StartRefused {
  BackupId id;
  int64_t call = 0;
  absl::Status status;
};
// `gone`: the executor neither runs the task nor has an end of it to report, and will never accept
// it.
struct CancelAnswered {
  BackupId id;
  int64_t call = 0;
  absl::Status status;
  bool gone = false;
};
struct Tick {};
struct Drain {};
}  // namespace scheduler_event

using SchedulerEvent = std::variant<scheduler_event::RecordChanged, scheduler_event::HostOnline,
                                    scheduler_event::HostOffline, scheduler_event::InventoryChanged,
                                    scheduler_event::Written, scheduler_event::StartAccepted,
                                    scheduler_event::StartRefused, scheduler_event::CancelAnswered,
                                    scheduler_event::Tick, scheduler_event::Drain>;

// What to do. `call` comes back with the answer, so that a late answer of an older call is told
// apart.
namespace scheduler_command {
struct BeginTask {
  BackupId id;
  Recorder::Dispatch dispatch;
};
struct StartTask {
  BackupRecord record;
  int64_t call = 0;
};
// `id` is empty for a task that no open record owns: its answer does not matter.
struct CancelTask {
  BackupId id;
  HostId host;
  TaskRef task;
  int64_t call = 0;
};
struct RejectTask {
  BackupId id;
  int64_t epoch = 0;
  Failure failure;  // without its time
  HostId host = {};
};
struct CloseWithoutTask {
  BackupId id;
};
struct SetCondition {
  BackupId id;
  std::string type;
  std::string message;
};
struct ClearCondition {
  BackupId id;
  std::string type;
};
struct ArmTimer {
  absl::Duration at;  // on the clock of Step()
};
}  // namespace scheduler_command

using SchedulerCommand =
    std::variant<scheduler_command::BeginTask, scheduler_command::StartTask,
                 scheduler_command::CancelTask, scheduler_command::RejectTask,
                 scheduler_command::CloseWithoutTask, scheduler_command::SetCondition,
                 scheduler_command::ClearCondition, scheduler_command::ArmTimer>;

// The one task queue, as a pure state machine: which open record gets a place, when, and what its
// host is told. No thread, no clock, no I/O: the same events at the same times give the same
// commands.
//
// Order: every VM's records form a line, and the lines take turns (start-time fair queueing), so
// that neither a long line of one VM nor a full or silent host holds up the others. One task per VM
// at a time. Not thread-safe; `scheduler.h` runs it.
class SchedulerCore {
 public:
  explicit SchedulerCore(const SchedulerOptions& options) : options_(options) {}

  // `now` is monotonic. One pass over the queue for the whole batch.
  std::vector<SchedulerCommand> Step(absl::Duration now, const std::vector<SchedulerEvent>& events);

  // For checkers and tests.
  size_t open_records() const { return entries_.size(); }
  int RunningOnHost(const HostId& host) const;
  int RunningInRepository(const std::string& repository_id) const;

 private:
  // What the host was told of the record's open task, in this connection.
  enum class Call { kNone, kStarting, kStarted, kCancelling, kCancelled };
  struct Entry {
    explicit Entry(Backoff delays) : backoff(std::move(delays)) {}
    BackupRecord record;
    Need need = Need::kNothing;
    int64_t sequence = 0;                         // of arrival
    int64_t turn = 0;                             // see class comment; set when it begins to wait
    bool writing = false;                         // a write is on its way to the store
    int64_t written_revision = 0;                 // of the record when it was sent
    std::optional<Recorder::Dispatch> beginning;  // what that write promises; counts as running
    Call call = Call::kNone;
    int64_t call_number = 0;
    absl::Duration not_before = absl::ZeroDuration();
    Backoff backoff;
    std::map<std::string, std::string> conditions;  // type -> message, as shown
  };
  struct Host {
    bool online = false;
    std::string message;
  };
  using VmKey = std::pair<HostId, std::string>;
  struct Load {
    std::map<HostId, int> hosts;
    std::map<std::string, int> repositories;
    std::map<std::string, int64_t> reserved_bytes;
    std::set<VmKey> vms;
  };
  struct NoPlace {  // why a record does not begin now
    absl::Status error;
    bool wait = false;  // for a slot: not an error
  };

  static constexpr char kHostUnreachable[] = "HOST_UNREACHABLE";
  static bool Waits(Need need) { return need == Need::kBackupTask || need == Need::kScrubTask; }
  static bool HasOpenTask(Need need) {
    return need == Need::kAwaitTask || need == Need::kCancelTask;
  }
  static TaskRef TaskOf(const BackupRecord& record) { return {record.task_id, record.epoch}; }

  void On(const scheduler_event::RecordChanged& event);
  void On(const scheduler_event::HostOnline& event);
  void On(const scheduler_event::HostOffline& event);
  void On(const scheduler_event::InventoryChanged& event);
  void On(const scheduler_event::Written& event);
  void On(const scheduler_event::StartAccepted& event);
  void On(const scheduler_event::StartRefused& event);
  void On(const scheduler_event::CancelAnswered& event);
  void On(const scheduler_event::Tick&) {}
  void On(const scheduler_event::Drain&) { draining_ = true; }

  Entry* Find(const BackupId& id);
  Entry* FindCall(const BackupId& id, int64_t call, Call expected);
  Entry& FindOrAdd(const BackupId& id);
  void AttachOrForget(Entry& entry, const std::vector<KnownTask>& tasks);
  void TakeTurn(Entry& entry);
  void Delay(Entry& entry);
  bool Due(const Entry& entry);

  void Plan();
  void DriveOpenTask(Entry& entry);
  void TryBegin(Entry& entry, Load& load);
  std::optional<Recorder::Dispatch> PlaceBackup(const Entry& entry, const Load& load,
                                                NoPlace& why) const;
  // In none of `skipped`, by UUID. `requested`: 1, 2, or 0 for any.
  std::optional<Recorder::Dispatch> PlaceIn(const BackupRecord& record, int requested,
                                            const std::set<std::string>& skipped, const Load& load,
                                            NoPlace& why) const;
  std::optional<Recorder::Dispatch> PlaceScrub(const Entry& entry, NoPlace& why) const;
  // The repository with the record's UUID as its host sees it; null when it does not.
  const RepositoryRecord* WhereFilesAre(const BackupRecord& record) const;
  void RefusePlacement(Entry& entry, const absl::Status& error);
  void Reject(Entry& entry, Failure failure);
  static void BeginWrite(Entry& entry);
  std::optional<std::string> SlotProblem(const Entry& entry, const Load& load) const;
  Load CountLoad() const;
  static void Count(const Entry& entry, Load& load);

  // Shows exactly this condition, or none.
  void Show(Entry& entry, const std::string& type, const std::string& message);
  void ShowNone(Entry& entry);
  void ShowUnreachable(Entry& entry, const Host& host);
  void Emit(SchedulerCommand command) { commands_.push_back(std::move(command)); }

  SchedulerOptions options_;
  std::map<BackupId, Entry> entries_;
  std::map<HostId, Host> hosts_;  // absent: not heard of yet
  std::set<HostId> draining_hosts_;
  std::vector<RepositoryRecord> repositories_;
  std::map<VmKey, int64_t> next_turn_;  // of each VM's line
  int64_t turn_ = 0;                    // of the record that began last
  int64_t next_sequence_ = 0;
  int64_t next_call_ = 0;
  bool draining_ = false;
  std::optional<absl::Duration> armed_;

  // Of the step under way.
  absl::Duration now_ = absl::ZeroDuration();
  absl::Duration next_due_ = absl::InfiniteDuration();
  std::vector<SchedulerCommand> commands_;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_TASKS_SCHEDULER_CORE_H_
