#include "executor/metrics/measured_hypervisor.h"

#include "executor/metrics/families.h"

#include <utility>

namespace vmkeep::executor {
namespace {

const char* ConsistencyName(Consistency consistency) {
  switch (consistency) {
    case Consistency::kUnknown:
      return "UNKNOWN";
    case Consistency::kCrash:
      return "CRASH";
    case Consistency::kFilesystem:
      return "FILESYSTEM";
    case Consistency::kApplication:
      return "APPLICATION";
  }
  return "UNKNOWN";
}

}  // namespace

std::vector<MeasuredHypervisor::Seen> MeasuredHypervisor::SeenOverlays() {
  MutexLock lock(&mu_);
  return seen_;
}

bool MeasuredHypervisor::reachable() {
  MutexLock lock(&mu_);
  return reachable_;
}

absl::StatusOr<std::vector<VmSummary>> MeasuredHypervisor::ListVms() {
  absl::StatusOr<std::vector<VmSummary>> vms = hypervisor_->ListVms();
  const absl::Time now = clock_.Now();
  MutexLock lock(&mu_);
  reachable_ = vms.ok();
  if (!vms.ok()) return vms;  // what was seen before is the best that is known
  std::map<std::string, absl::Time> since;
  for (const Seen& seen : seen_) since[seen.overlay] = seen.first_seen;
  seen_.clear();
  for (const VmSummary& vm : *vms) {
    for (const OverlayDisk& disk : vm.overlays) {
      const auto known = since.find(disk.overlay);
      seen_.push_back({vm.uuid, vm.name, disk.target, disk.overlay,
                       known == since.end() ? now : known->second});
    }
  }
  return vms;
}

absl::StatusOr<SnapshotResult> MeasuredHypervisor::Snapshot(const SnapshotPlan& plan) {
  const absl::Duration began = clock_.Monotonic();
  absl::StatusOr<SnapshotResult> result = hypervisor_->Snapshot(plan);
  registry_.Observe(family::kSnapshotSeconds,
                    {{"result", result.ok() ? "ok" : "failed"},
                     {"consistency", result.ok() ? ConsistencyName(result->consistency) : ""}},
                    clock_.Monotonic() - began);
  return result;
}

absl::Status MeasuredHypervisor::StartMerge(const OverlayDisk& disk) {
  MergeBegins(disk);
  return hypervisor_->StartMerge(disk);
}

absl::Status MeasuredHypervisor::Pivot(const OverlayDisk& disk) {
  absl::Status status = hypervisor_->Pivot(disk);
  if (status.ok()) MergeEnds(disk);
  return status;
}

absl::Status MeasuredHypervisor::CommitOffline(const OverlayDisk& disk) {
  MergeBegins(disk);
  absl::Status status = hypervisor_->CommitOffline(disk);
  if (status.ok()) MergeEnds(disk);
  return status;
}

void MeasuredHypervisor::MergeBegins(const OverlayDisk& disk) {
  MutexLock lock(&mu_);
  merging_.emplace(disk.overlay, clock_.Monotonic());  // the first try counts
}

void MeasuredHypervisor::MergeEnds(const OverlayDisk& disk) {
  absl::Duration took;
  {
    MutexLock lock(&mu_);
    const auto began = merging_.find(disk.overlay);
    if (began == merging_.end()) return;  // an earlier process began it
    took = clock_.Monotonic() - began->second;
    merging_.erase(began);
  }
  registry_.Observe(family::kMergeSeconds, {}, took);
}

}  // namespace vmkeep::executor
