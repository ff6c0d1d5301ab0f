#ifndef VMKEEP_EXECUTOR_TASK_JOURNAL_RECORDS_H_
#define VMKEEP_EXECUTOR_TASK_JOURNAL_RECORDS_H_

#include "executor/hypervisor/hypervisor.h"
#include "executor/task/advance.h"
#include "vmkeep/executor/v1/task.pb.h"
#include "vmkeep/worker/v1/worker.pb.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace vmkeep::executor {

// One try: the task's id, new for each, and the backup's fencing number.
struct TaskId {
  std::string id;
  int64_t epoch = 0;

  // The folder below .incoming/; also how a log line names the task.
  std::string ToString() const { return absl::StrCat(id, ".", epoch); }
  friend auto operator<=>(const TaskId&, const TaskId&) = default;
};

// A task as it was accepted.
struct TaskRecord {
  TaskId task;
  TaskKind kind = TaskKind::kBackup;
  std::string backup_id;
  std::string vm_uuid;
  int slot = 0;               // 1 primary, 2 secondary
  std::string repository_id;  // that the repository's marker must hold
  v1::BackupSpec backup;      // of a backup
  absl::Time accept_time;
};

// What a copy is of, and until when it may take: the next process goes on with it only while all
// of this holds.
struct CopyBegin {
  std::string base;      // IdentityOf() the disk
  std::string boot_id;   // of the host's kernel
  absl::Duration until;  // of the monotonic clock of that boot
};

// What the steps of a backup learn, one after the other: enough to merge, restore and publish after
// a crash.
struct BackupData {
  VmDescription vm;
  std::string restore_xml;            // ready for `virsh define`; with secrets, like the rest
  std::vector<OverlayDisk> overlays;  // of each disk; of an export empty
  std::optional<SnapshotResult> snapshot;
  std::map<std::string, CopyBegin> copies_begun;         // by target
  std::map<std::string, worker::v1::CopyResult> copies;  // by target
  // Where an exporting hypervisor writes, durable before it does; empty: it never began.
  std::string export_folder = {};
  // Of an export, instead of copies.
  std::optional<worker::v1::SealExportResult> sealed = std::nullopt;
};

// A task and all that is known of it.
struct KnownTask {
  TaskRecord record;
  TaskState state;
  BackupData data;
};

// A task as the controller asks for it.
struct TaskSummary {
  TaskRecord record;
  std::string step;  // under way, or empty
  bool ended = false;
};

// A worker process that was started and not seen to end.
struct WorkerProcess {
  pid_t pid = 0;
  uint64_t start_time = 0;  // with the pid: this process and no later one
  std::string repository_id;
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_JOURNAL_RECORDS_H_
