#ifndef VMKEEP_CONTROLLER_DOMAIN_BACKUP_H_
#define VMKEEP_CONTROLLER_DOMAIN_BACKUP_H_

#include "absl/time/time.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace vmkeep::controller {

using BackupId = std::string;  // UUIDv7
using HostId = std::string;
using Labels = std::map<std::string, std::string>;

// The numbers are stored and are those of vmkeep.v1.Backup.State.
enum class BackupState {
  kRequested = 1,
  kBuilding = 2,
  kUnresourced = 3,
  kRunning = 4,
  kScrub = 8,
  kScrubbing = 17,
  kClosed = 99,
};
enum class Quiesce { kIfAvailable = 1, kRequired = 2, kNever = 3 };
enum class Consistency { kUnknown = 0, kCrash = 1, kFilesystem = 2, kApplication = 3 };
// The numbers are those of vmkeep.v1.Progress.Phase.
enum class Phase {
  kUnknown = 0,
  kQueued = 1,
  kPreflight = 2,
  kSnapshotting = 3,
  kCopying = 4,
  kMerging = 5,
  kPublishing = 6,
  kExporting = 7,
  kRemoving = 8,
  kSealing = 9,
};

struct Failure {
  std::string reason;  // UPPER_SNAKE
  std::string message;
  std::string phase;  // by the name in vmkeep.v1.Progress.Phase
  bool retryable = false;
  absl::Time time;
  std::map<std::string, std::string> metadata;

  bool operator==(const Failure&) const = default;
};

struct ExcludedDisk {
  std::string target;
  std::string reason;

  bool operator==(const ExcludedDisk&) const = default;
};

// A repository that a backup gave up for another one: it does not go there again.
struct LeftRepository {
  std::string id;   // UUID
  std::string why;  // in words, for placement_reason

  bool operator==(const LeftRepository&) const = default;
};

// Not stored: lives in progress/live_state.h beside the record.
struct Progress {
  Phase phase = Phase::kUnknown;
  int disk = 0;
  int disk_count = 0;
  int64_t bytes_done = 0;
  int64_t bytes_total = 0;
  int64_t bytes_holes = 0;
  int64_t bytes_per_second = 0;
  std::optional<absl::Duration> eta;
  absl::Time as_of;

  bool operator==(const Progress&) const = default;
};

struct Condition {
  // HOST_UNREACHABLE, HOST_DRAINING, WAITING_FOR_SLOT, REPOSITORY_ILL, VM_ON_OVERLAY,
  // BASE_NOT_FLUSHED, OVERLAY_NOT_MERGED
  std::string type;
  std::string message;
  absl::Time since;

  bool operator==(const Condition&) const = default;
};

// The durable record. A value: whoever changes one does it inside a store mutation.
struct BackupRecord {
  BackupId id;
  std::string project;
  // Who was meant, resolved once at Create: three spellings are one VM.
  std::string vm_id;
  std::string vm_uuid;
  std::string vm_name;
  std::string name;

  BackupState state = BackupState::kRequested;
  std::optional<Failure> failure;
  Labels labels;
  Quiesce quiesce = Quiesce::kIfAvailable;

  int requested_repository = 0;  // 1, 2, or 0: the controller chooses
  int repository = 0;            // 0: not chosen yet
  std::string repository_id;
  std::string placement_reason;
  std::vector<LeftRepository> left_repositories;
  int64_t reserved_bytes = 0;  // promised in the repository while unfinished

  HostId host_id;
  std::string hypervisor;
  bool simulated = false;

  // The try under way, set in the commit that dispatches. epoch 0: never dispatched.
  int64_t epoch = 0;
  std::string task_id;
  bool task_open = false;  // no end of this task was recorded yet
  bool task_is_scrub = false;
  int attempts = 0;  // tries that ended before a snapshot for a passing reason
  // Tasks that ended left, or may have left, files. An open task may have some besides: its end
  // says. Only a scrub that is DONE clears it.
  bool files_may_exist = false;
  bool vm_on_overlay = false;  // the last end said so

  absl::Time create_time;
  absl::Time update_time;
  std::optional<absl::Time> time_valid;
  Consistency consistency = Consistency::kUnknown;
  int64_t virtual_bytes = 0;
  int64_t data_bytes = 0;
  int64_t stored_bytes = 0;
  std::string manifest_sha256;
  std::vector<ExcludedDisk> excluded_disks;
  std::string scrub_level;

  std::string created_by;
  std::string request_id;      // empty: none was given
  std::string request_digest;  // SHA-256 of the request that made it

  int64_t revision = 0;  // of the store's last commit that touched it; the etag

  bool operator==(const BackupRecord&) const = default;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_DOMAIN_BACKUP_H_
