#ifndef VMKEEP_CONTROLLER_DOMAIN_INVENTORY_H_
#define VMKEEP_CONTROLLER_DOMAIN_INVENTORY_H_

#include "controller/domain/backup.h"

#include "absl/time/time.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vmkeep::controller {

enum class Availability { kUnknown = 0, kOnline = 1, kUnreachable = 2, kRefused = 3 };
enum class PowerState { kUnknown = 0, kOn = 1, kOff = 2, kPaused = 3 };
enum class Health { kUnknown = 0, kHealthy = 1, kIll = 2, kUninitialized = 3 };

// Durable: kept until a user deletes it.
struct HostRecord {
  HostId id;
  std::string address;
  std::string executor_id;  // pinned at first contact
  std::string hostname;
  std::string hypervisor;
  std::string version;
  bool simulated = false;
  bool draining = false;                     // running work ends, nothing new starts
  int64_t acknowledged_sequence = 0;         // the last event that is recorded here
  std::optional<absl::Time> last_seen = {};  // when its executor last spoke

  bool operator==(const HostRecord&) const = default;
};

struct Overlay {
  absl::Time since;
  int64_t bytes = 0;
  BackupId backup_id;
  std::vector<std::string> files;
  bool needs_attention = false;
  std::string remedy;
  std::string reason = {};   // what is in the way; empty: nothing
  std::string message = {};  // the same as a sentence
  bool files_only = false;   // the VM is on its own disks

  bool operator==(const Overlay&) const = default;
};

// A caller's own id for a VM, beside its UUID and its name. Durable; a project has each id and each
// UUID once.
struct VmRegistration {
  std::string project;
  std::string id;
  std::string uuid;  // lower case

  bool operator==(const VmRegistration&) const = default;
};

// As the host last reported it.
struct VmRecord {
  std::string uuid;  // lower case
  std::string name;
  HostId host_id;
  PowerState power = PowerState::kUnknown;
  std::optional<Overlay> overlay;

  bool operator==(const VmRecord&) const = default;
};

// A repository as one host sees it.
struct RepositoryRecord {
  std::string id;  // marker's UUID; empty: none
  HostId host_id;
  int slot = 0;  // 1 or 2
  std::string path;
  int64_t total_bytes = 0;
  int64_t free_bytes = 0;
  Health health = Health::kUnknown;
  std::string message;
  std::string target;  // what is behind the path, in words; empty: not known
  absl::Time probe_time;

  bool operator==(const RepositoryRecord&) const = default;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_DOMAIN_INVENTORY_H_
