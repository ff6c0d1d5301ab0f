#ifndef VMKEEP_EXECUTOR_TASK_ENVIRONMENT_H_
#define VMKEEP_EXECUTOR_TASK_ENVIRONMENT_H_

#include "common/clock.h"
#include "executor/hypervisor/hypervisor.h"
#include "executor/task/journal/journal.h"
#include "executor/task/merge_ladder.h"
#include "executor/task/overlay_alerts.h"
#include "executor/worker_client/worker_client.h"

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace vmkeep::executor {

struct TaskOptions {
  std::string hostname;
  std::map<int, std::string> repositories;  // slot -> where it is mounted; for the worker only
  std::string flat_view_dir;  // for the sockets of flat views; on the host, ours alone
  // Free bytes that a VM's overlays need per file system; 0: 5 % of the virtual size, 1 to 16 GiB.
  int64_t overlay_reserve_bytes = 0;
  std::string overlay_dir;  // for the overlays of block devices; empty: those are refused
  absl::Duration stall_timeout = absl::Seconds(60);
  absl::Duration export_stall_timeout = absl::Minutes(10);  // Hyper-V's percentage is coarse
  // Of all disks, or of an export and its seal; unless the task says less or more.
  absl::Duration copy_deadline = absl::Hours(24);
  // Of one disk, after which the overlay keeper goes on; also of the end of an export.
  absl::Duration merge_deadline = absl::Hours(6);
  LadderPolicy merge_ladder = {};  // for a guest that outruns its merge
  absl::Duration probe_interval = absl::Minutes(1);
  absl::Duration probe_deadline = absl::Seconds(30);
  absl::Duration publish_deadline = absl::Minutes(5);  // of one try
  absl::Duration remove_deadline = absl::Minutes(10);
};

// Free bytes of the host's file system below `folder`, which is no repository.
using FreeSpace = std::function<absl::StatusOr<int64_t>(const std::string& folder)>;
absl::StatusOr<int64_t> FreeBytesOfHost(const std::string& folder);

// Of the host's kernel, new with each boot; empty when it cannot be read.
std::string BootId();

// What steps work with. Everything outlives the tasks and is thread-safe.
struct Environment {
  Hypervisor& hypervisor;
  Worker& worker;
  Journal& journal;
  Clock& clock;
  TaskOptions options;
  FreeSpace free_space = FreeBytesOfHost;
  std::string boot_id = BootId();
  // What tasks and the keeper of overlays could not merge or remove; never null.
  std::shared_ptr<OverlayAlerts> alerts = std::make_shared<OverlayAlerts>();
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_ENVIRONMENT_H_
