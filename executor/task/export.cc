#include "executor/task/export.h"

#include "common/backoff.h"
#include "common/error.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "executor/hypervisor/file_name.h"
#include "executor/task/errors.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

namespace vmkeep::executor {
namespace {

// An export takes minutes; a small one is seen to end soon.
constexpr absl::Duration kFirstPoll = absl::Milliseconds(20);
constexpr absl::Duration kLongestPoll = absl::Seconds(1);
constexpr absl::Duration kFirstDelay = absl::Milliseconds(100);
constexpr absl::Duration kLongestDelay = absl::Seconds(5);
// Errors that no waiting should cure are asked about again a few times, as those of a merge.
constexpr int kTries = 5;

// Sees an export move: its bytes, or its percentage.
class StallWatch {
 public:
  StallWatch(absl::Duration limit, absl::Duration now) : limit_(limit), moved_at_(now) {}

  void Note(const ExportStatus& status, absl::Duration now) {
    if (status.bytes_done == bytes_ && status.percent == percent_) return;
    bytes_ = status.bytes_done;
    percent_ = status.percent;
    moved_at_ = now;
  }
  bool Stalled(absl::Duration now) const { return now - moved_at_ >= limit_; }

 private:
  const absl::Duration limit_;
  absl::Duration moved_at_;
  int64_t bytes_ = 0;
  int percent_ = 0;
};

// What an answer means: the result, an error, or nothing yet.
absl::StatusOr<std::optional<SnapshotResult>> Judge(const ExportPlan& plan,
                                                    const ExportStatus& status) {
  switch (status.phase) {
    case ExportPhase::kNone:
      return error::ExportLost(plan.vm_uuid);
    case ExportPhase::kRunning:
      return std::nullopt;
    case ExportPhase::kDone:
      return status.result;
    case ExportPhase::kFailed:
      if (!status.error.ok()) return status.error;
      return absl::InternalError("an export that failed without an error");
  }
  return absl::InternalError("an export phase that nobody knows");
}

}  // namespace

absl::StatusOr<std::string> PrepareExport(const Environment& env, const TaskRecord& record,
                                          const std::stop_token& stop) {
  worker::v1::Request request;
  worker::v1::PrepareExport& prepare = *request.mutable_prepare_export();
  VMKEEP_ASSIGN_OR_RETURN(*prepare.mutable_repository(),
                          RepositoryOf(env.options, record.slot, record.repository_id));
  prepare.set_incoming(record.task.ToString());
  // It may have to remove first.
  VMKEEP_ASSIGN_OR_RETURN(
      const worker::v1::Result result,
      RunJob(env, request, record.repository_id, {.deadline = env.options.remove_deadline}, stop));
  if (result.prepare_export().folder().empty()) {
    return absl::InternalError("the worker named no folder to export to");
  }
  return result.prepare_export().folder();
}

absl::StatusOr<SnapshotResult> ExportVm(const Environment& env, const ExportPlan& plan,
                                        absl::Duration until, const std::stop_token& stop,
                                        const OnExportProgress& on_progress) {
  if (stop.stop_requested()) return error::ExportCancelled();
  VMKEEP_RETURN_IF_ERROR(env.hypervisor.StartExport(plan, stop));
  Backoff poll(kFirstPoll, kLongestPoll, std::hash<std::string>()(plan.folder));
  StallWatch watch(env.options.export_stall_timeout, env.clock.Monotonic());
  while (true) {
    const absl::StatusOr<ExportStatus> status = env.hypervisor.GetExportStatus(plan);
    if (!status.ok() && !error::IsPassing(status.status())) return status.status();
    const absl::Duration now = env.clock.Monotonic();
    if (status.ok()) {
      VMKEEP_ASSIGN_OR_RETURN(std::optional<SnapshotResult> done, Judge(plan, *status));
      on_progress(*status);
      if (done) return *std::move(done);
      watch.Note(*status, now);
    }
    if (watch.Stalled(now)) {
      return error::ExportStalled(plan.vm_uuid, env.options.export_stall_timeout, status.status());
    }
    if (now >= until) return error::ExportDeadline(plan.vm_uuid);
    if (!env.clock.WaitFor(std::min(poll.Next(), until - now), stop))
      return error::ExportCancelled();
  }
}

absl::Status EndExportSurely(const Environment& env, const ExportPlan& plan,
                             const std::stop_token& stop) {
  const absl::Duration until = env.clock.Monotonic() + env.options.merge_deadline;
  Backoff backoff(kFirstDelay, kLongestDelay, std::hash<std::string>()(plan.folder));
  absl::StatusCode last = absl::StatusCode::kOk;
  for (int tries = 1;; ++tries) {
    absl::Status status = env.hypervisor.EndExport(plan);
    if (status.ok()) return status;
    if (last != status.code()) {
      log::Warning(
          "end_export_repeated",
          {{"vm", plan.vm_uuid}, {"reason", ErrorReason(status)}, {"error", status.message()}});
    }
    last = status.code();
    const bool may_pass = error::IsPassing(status) || tries < kTries;
    if (!may_pass || env.clock.Monotonic() >= until) return status;
    if (!env.clock.WaitFor(backoff.Next(), stop)) return error::ExecutorStopped();
  }
}

absl::StatusOr<worker::v1::SealExportResult> SealExport(
    const Environment& env, const TaskRecord& record, const std::vector<Disk>& disks,
    absl::Duration until, const std::stop_token& stop, const OnProgress& on_progress) {
  worker::v1::Request request;
  worker::v1::SealExport& seal = *request.mutable_seal_export();
  VMKEEP_ASSIGN_OR_RETURN(*seal.mutable_repository(),
                          RepositoryOf(env.options, record.slot, record.repository_id));
  seal.set_incoming(record.task.ToString());
  seal.set_stall_seconds(absl::ToInt64Seconds(env.options.stall_timeout));
  for (const Disk& disk : disks) {
    worker::v1::ExportedDisk& exported = *seal.add_disks();
    exported.set_target(disk.target);
    exported.set_file(std::string(FileNameOf(disk.source)));
    for (const ImageLayer& layer : disk.backing)
      exported.add_parents(std::string(FileNameOf(layer.file)));
  }
  const absl::Duration left = std::max(until - env.clock.Monotonic(), absl::ZeroDuration());
  VMKEEP_ASSIGN_OR_RETURN(
      worker::v1::Result result,
      RunJob(env, request, record.repository_id,
             {.deadline = left, .stall = env.options.stall_timeout}, stop, on_progress));
  return std::move(*result.mutable_seal_export());
}

}  // namespace vmkeep::executor
