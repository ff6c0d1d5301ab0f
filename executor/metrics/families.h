#ifndef VMKEEP_EXECUTOR_METRICS_FAMILIES_H_
#define VMKEEP_EXECUTOR_METRICS_FAMILIES_H_

#include "common/metrics/registry.h"

// Every metric of the executor but those of its calls (common/metrics/grpc_calls.h). The names are
// an interface: docs/operations.md and people's alerts use them.
namespace vmkeep::executor::family {

using metrics::Family;
using metrics::HistogramFamily;

inline constexpr Family kBuildInfo = {"vmkeep_build_info", "1; the version is a label."};
inline constexpr Family kTasks = {"vmkeep_executor_tasks",
                                  "Tasks that are not at their end, by kind and phase."};
inline constexpr Family kTaskAge = {
    "vmkeep_executor_oldest_task_age_seconds",
    "Age of the oldest task that is not at its end, by kind; 0 when there is none."};
inline constexpr Family kCopiedBytes = {
    "vmkeep_executor_copied_bytes_total",
    "Bytes of disks that copies got through, holes included, by the repository's UUID; rate() of "
    "it is the copy rate."};
inline constexpr Family kWorkers = {"vmkeep_executor_workers",
                                    "Worker processes whose job is under way, by job."};
inline constexpr Family kWorkersAbandoned = {
    "vmkeep_executor_workers_abandoned",
    "Worker processes that could not be killed and still hang, by repository: it is gone."};
inline constexpr Family kOverlayAge = {
    "vmkeep_executor_overlay_age_seconds",
    "Age of each overlay of ours that a VM was seen on, by VM and disk: since its snapshot, or "
    "since it was first seen when no journal knows it."};
inline constexpr Family kOverlayNeedsAttention = {
    "vmkeep_executor_overlay_needs_attention", "1 when no running task owns the overlay, else 0."};
inline constexpr Family kRepositoryHealth = {
    "vmkeep_executor_repository_health",
    "1 for the health that the last probe found, 0 for the others."};
inline constexpr Family kRepositoryFree = {"vmkeep_executor_repository_free_bytes",
                                           "Free space that the last probe found."};
inline constexpr Family kHypervisorReachable = {
    "vmkeep_executor_hypervisor_reachable",
    "1 when the hypervisor last answered which VMs it has, 0 when it did not."};
inline constexpr Family kHypervisorConnections = {
    "vmkeep_executor_hypervisor_connections_total",
    "Connections opened to libvirt: one for the start, each more is a reconnect."};

inline constexpr HistogramFamily kWorkerJobSeconds = {
    "vmkeep_executor_worker_job_seconds",
    "Time of a worker's job, by job (probe, copy, publish, ...) and result: ok, or the reason.",
    metrics::kLongSeconds};
inline constexpr double kFreezeSeconds[] = {0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60};
inline constexpr HistogramFamily kSnapshotSeconds = {
    "vmkeep_executor_snapshot_seconds",
    "Time of a snapshot of all disks of a VM, by result. The freeze and the thaw lie inside: "
    "with consistency FILESYSTEM or APPLICATION no guest was frozen for longer.",
    kFreezeSeconds};
inline constexpr HistogramFamily kMergeSeconds = {
    "vmkeep_executor_merge_seconds",
    "Time from the start of a disk's merge until the disk was off its overlay.",
    metrics::kLongSeconds};
inline constexpr HistogramFamily kJournalWriteSeconds = {
    "vmkeep_executor_journal_write_seconds",
    "Time of one write of the journal, fsync included, by result.", metrics::kShortSeconds};

}  // namespace vmkeep::executor::family

#endif  // VMKEEP_EXECUTOR_METRICS_FAMILIES_H_
