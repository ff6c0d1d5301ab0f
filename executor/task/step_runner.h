#ifndef VMKEEP_EXECUTOR_TASK_STEP_RUNNER_H_
#define VMKEEP_EXECUTOR_TASK_STEP_RUNNER_H_

#include "executor/task/environment.h"
#include "executor/task/host_space.h"
#include "executor/task/journal/records.h"
#include "executor/task/merge.h"
#include "executor/task/progress_meter.h"

#include "absl/status/status.h"
#include "absl/time/time.h"

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace vmkeep::executor {

// Carries the steps of one task out, in the task's thread, through the hypervisor and the worker.
// Knows nothing of the order of steps. Not thread-safe.
class StepRunner {
 public:
  // `data` is what the journal has of the task; `interrupted_copy` the disk whose copy an earlier
  // process was in, or empty.
  StepRunner(const Environment& env, TaskRecord record, BackupData data,
             std::string interrupted_copy, ProgressMeter::Emit emit);

  // Runs `state.steps[index]`; blocks until it is done or failed. `stop` ends a step that is
  // stoppable soon, and any other at its next wait.
  absl::Status Run(const TaskState& state, int index, const std::stop_token& stop);
  void Thaw(const std::stop_token& stop);

  // The targets, known after the preflight.
  std::vector<std::string> disks() const;
  std::optional<SnapshotResult> snapshot() const { return data_.snapshot; }
  // Set after the publish.
  const std::optional<v1::BackupResult>& result() const { return result_; }

 private:
  absl::Status RunPreflight(const std::stop_token& stop);
  absl::Status RunSnapshot();
  absl::Status RunCopy(const std::string& target, const std::stop_token& stop);
  // Of an earlier process: they belong to the progress.
  void CountFinishedCopies();
  absl::Status BeginCopy(const Disk& disk, const std::stop_token& stop);
  absl::Status RunMerge(const std::string& target, const std::stop_token& stop);
  absl::Status RunExport(const std::stop_token& stop);
  absl::Status RunEndExport(const std::stop_token& stop);
  absl::Status RunSeal(const std::stop_token& stop);
  absl::Status RunPublish(const std::stop_token& stop);
  absl::Status RunDiscard(const std::stop_token& stop);
  absl::Status RunScrub(const std::stop_token& stop);

  MergeContext Merging(const std::stop_token& stop) const;
  // `status` again, after it was told to the alerts: OK clears them.
  absl::Status Noted(const std::vector<OverlayDisk>& disks, absl::Status status) const;
  int IndexOf(const std::string& target) const;
  ExportPlan Exporting() const;
  // Sum over the disks, of what an export moves.
  int64_t DataBytes() const;
  // When all copies, or an export and its seal, must be done, by the monotonic clock.
  absl::Duration CopiesUntil() const;
  void Enter(::vmkeep::v1::Progress::Phase phase, int disk = 0);

  const Environment& env_;
  const TaskRecord record_;
  BackupData data_;
  const std::string interrupted_copy_;
  std::optional<absl::Duration> export_until_;  // unset in a process that did not begin the export
  ProgressMeter progress_;
  std::optional<v1::BackupResult> result_;
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_STEP_RUNNER_H_
