#ifndef VMKEEP_CONTROLLER_METRICS_FAMILIES_H_
#define VMKEEP_CONTROLLER_METRICS_FAMILIES_H_

#include "common/metrics/registry.h"

// Every metric of the controller but those of its calls (common/metrics/grpc_calls.h). The names
// are an interface: docs/operations.md and people's alerts use them.
namespace vmkeep::controller::family {

using metrics::Family;
using metrics::HistogramFamily;

inline constexpr Family kBuildInfo = {"vmkeep_build_info", "1; the version is a label."};
inline constexpr Family kStoreReadable = {
    "vmkeep_store_readable",
    "1 when the store answered this scrape within a second; 0: what is counted from records is "
    "missing from it."};
inline constexpr Family kBackups = {"vmkeep_backups", "Backup records, by state."};
inline constexpr Family kOldestUnfinished = {
    "vmkeep_oldest_unfinished_backup_age_seconds",
    "Age of the oldest record in a state that must not last, 0 when there is none: since its "
    "creation in REQUESTED and BUILDING, since its last change in SCRUB and SCRUBBING."};
inline constexpr Family kQueue = {"vmkeep_queue_tasks",
                                  "Backups and scrubs that wait for a place, by kind of task."};
inline constexpr Family kConditions = {
    "vmkeep_backup_conditions",
    "Unfinished backups with a condition, by its type: why they wait, or what is wrong."};
inline constexpr Family kHosts = {"vmkeep_hosts", "Registered hosts, by availability."};
inline constexpr Family kHostOnline = {"vmkeep_host_online",
                                       "1 while the host's executor is connected."};
inline constexpr Family kOnOverlay = {
    "vmkeep_vm_on_overlay_seconds",
    "How long a VM has been on an overlay of ours, as its host last said. A VM that is on none is "
    "not listed."};
inline constexpr Family kOverlayBytes = {"vmkeep_vm_overlay_bytes",
                                         "Size of the overlays that a VM is on."};
inline constexpr Family kNeedsAttention = {
    "vmkeep_vm_overlay_needs_attention",
    "1 when no running task owns the overlay that a VM is on, else 0."};
inline constexpr Family kRepositoryTotal = {"vmkeep_repository_total_bytes",
                                            "Size of a repository, as a host sees it."};
inline constexpr Family kRepositoryFree = {"vmkeep_repository_free_bytes",
                                           "Free space of a repository, as a host sees it."};
inline constexpr Family kRepositoryReserved = {
    "vmkeep_repository_reserved_bytes",
    "What unfinished backups were promised in a repository, by its UUID."};
inline constexpr Family kRepositoryHealth = {
    "vmkeep_repository_health",
    "1 for the health that the host's last probe found, 0 for the others."};
inline constexpr Family kRepositoryProbeAge = {"vmkeep_repository_probe_age_seconds",
                                               "Time since the host last probed a repository."};

inline constexpr HistogramFamily kStoreCommitSeconds = {
    "vmkeep_store_commit_seconds", "Time of one commit of the store, fsync included, by result.",
    metrics::kShortSeconds};
inline constexpr double kGroupSizes[] = {1, 2, 4, 8, 16, 32, 64, 128, 256};
inline constexpr HistogramFamily kStoreCommitMutations = {
    "vmkeep_store_commit_mutations",
    "Mutations that shared one commit: what the group commit saves.", kGroupSizes};

}  // namespace vmkeep::controller::family

#endif  // VMKEEP_CONTROLLER_METRICS_FAMILIES_H_
