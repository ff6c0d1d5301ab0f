#ifndef VMKEEP_CONTROLLER_DOMAIN_EXECUTOR_EVENT_H_
#define VMKEEP_CONTROLLER_DOMAIN_EXECUTOR_EVENT_H_

#include "controller/domain/backup.h"

#include "absl/time/time.h"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace vmkeep::controller {

struct TaskRef {
  std::string task_id;
  int64_t epoch = 0;
  bool operator==(const TaskRef&) const = default;
};

// What an executor said. Values of ours: no proto passes this border.
struct TaskProgress {
  Progress progress;
};
struct StepDone {
  std::string step;
  std::string target;
  std::optional<absl::Time> time_valid;
};
enum class Outcome { kDone, kFailed, kCancelled };
struct BackupResult {
  absl::Time time_valid;
  Consistency consistency = Consistency::kUnknown;
  int64_t virtual_bytes = 0;
  int64_t data_bytes = 0;
  int64_t stored_bytes = 0;
  std::string manifest_sha256;
  std::vector<ExcludedDisk> excluded_disks;
  bool simulated = false;
};
struct TaskEnded {
  Outcome outcome = Outcome::kFailed;
  std::optional<Failure> failure;
  std::optional<BackupResult> backup;
  bool files_may_remain = false;
  bool vm_on_overlay = false;
  bool snapshot_taken = false;
};
struct InventoryChanged {};
struct ExecutorEvent {
  int64_t sequence = 0;  // 0: not durable
  absl::Time time;
  TaskRef task;
  BackupId backup_id;
  std::variant<TaskProgress, StepDone, TaskEnded, InventoryChanged> body;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_DOMAIN_EXECUTOR_EVENT_H_
