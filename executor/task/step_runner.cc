#include "executor/task/step_runner.h"

#include "common/backoff.h"
#include "common/error.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "executor/task/backup_manifest.h"
#include "executor/task/copy.h"
#include "executor/task/errors.h"
#include "executor/task/export.h"
#include "executor/task/host_space.h"
#include "executor/task/preflight.h"
#include "executor/task/resume.h"
#include "executor/task/worker_job.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <utility>

namespace vmkeep::executor {
namespace {

using ::vmkeep::v1::Backup;
using ::vmkeep::v1::Progress;

constexpr int kPublishTries = 3;

QuiescePolicy PolicyOf(Backup::Quiesce quiesce) {
  switch (quiesce) {
    case Backup::REQUIRED:
      return QuiescePolicy::kRequired;
    case Backup::NEVER:
      return QuiescePolicy::kNever;
    default:
      return QuiescePolicy::kIfAvailable;
  }
}

}  // namespace

StepRunner::StepRunner(const Environment& env, TaskRecord record, BackupData data,
                       std::string interrupted_copy, ProgressMeter::Emit emit)
    : env_(env),
      record_(std::move(record)),
      data_(std::move(data)),
      interrupted_copy_(std::move(interrupted_copy)),
      progress_(env.clock, std::move(emit)) {}

absl::Status StepRunner::Run(const TaskState& state, int index, const std::stop_token& stop) {
  const Step& step = state.steps[index];
  switch (step.kind) {
    case StepKind::kPreflight:
      return RunPreflight(stop);
    case StepKind::kSnapshot:
      return RunSnapshot();
    case StepKind::kCopy:
      return RunCopy(step.target, stop);
    case StepKind::kMerge:
      return RunMerge(step.target, stop);
    case StepKind::kCheck:
      return Noted(data_.overlays, RestoreDefinition(Merging(stop), data_.vm, data_.overlays));
    case StepKind::kRemoveOverlay:
      return Noted(data_.overlays, RemoveOverlays(Merging(stop), data_.overlays));
    case StepKind::kExport:
      return RunExport(stop);
    case StepKind::kEndExport:
      return RunEndExport(stop);
    case StepKind::kSeal:
      return RunSeal(stop);
    case StepKind::kPublish:
      return RunPublish(stop);
    case StepKind::kDiscard:
      return RunDiscard(stop);
    case StepKind::kScrub:
      return RunScrub(stop);
  }
  return absl::InternalError("a step that nobody knows");
}

void StepRunner::Thaw(const std::stop_token& stop) { ThawSurely(Merging(stop), record_.vm_uuid); }

std::vector<std::string> StepRunner::disks() const {
  std::vector<std::string> targets;
  targets.reserve(data_.vm.disks.size());
  for (const Disk& disk : data_.vm.disks) targets.push_back(disk.target);
  return targets;
}

absl::Status StepRunner::RunPreflight(const std::stop_token& stop) {
  Enter(Progress::PREFLIGHT);
  const bool exports = env_.hypervisor.method() == BackupMethod::kExport;
  VMKEEP_ASSIGN_OR_RETURN(
      data_, exports ? PreflightExport(env_, record_, stop) : Preflight(env_, record_, stop));
  return absl::OkStatus();
}

absl::Status StepRunner::RunSnapshot() {
  Enter(Progress::SNAPSHOTTING);
  SnapshotPlan plan{.vm_uuid = record_.vm_uuid,
                    .disks = data_.overlays,
                    .untouched = {},
                    .quiesce = PolicyOf(record_.backup.quiesce())};
  for (const ExcludedDisk& disk : data_.vm.excluded) plan.untouched.push_back(disk.target);
  VMKEEP_ASSIGN_OR_RETURN(data_.snapshot, env_.hypervisor.Snapshot(plan));
  return env_.journal.PutSnapshot(record_.task, *data_.snapshot);
}

absl::Status StepRunner::RunCopy(const std::string& target, const std::stop_token& stop) {
  const int index = IndexOf(target);
  if (index < 0) return absl::InternalError(absl::StrCat("no disk ", target));
  const Disk& disk = data_.vm.disks[index];
  const bool resume = target == interrupted_copy_;
  if (resume) CountFinishedCopies();
  Enter(Progress::COPYING, index);
  VMKEEP_RETURN_IF_ERROR(BeginCopy(disk, stop));
  CopyTerms terms{
      .room = RoomCheck(env_, data_.vm.disks),
      .deadline = std::max(CopiesUntil() - env_.clock.Monotonic(), absl::ZeroDuration()),
      .resume = resume};
  bool found = !resume;  // the first answer of a resumed copy says what it begins with
  absl::StatusOr<worker::v1::CopyResult> copy =
      CopyDisk(env_, record_, disk, terms, stop, [this, &found](const worker::v1::Progress& p) {
        if (std::exchange(found, true)) {
          progress_.Update(p.bytes_done(), p.bytes_total(), p.bytes_holes());
        } else {
          progress_.Found(p.bytes_done(), p.bytes_total(), p.bytes_holes());
          log::Info("copy_resumed",
                    {{"bytes_done", p.bytes_done()}, {"bytes_total", p.bytes_total()}});
        }
      });
  // The worker looks closer than CheckCanResume(): somebody writes there, or did.
  const std::string reason = ErrorReason(copy.status());
  if (resume && (reason == "SOURCE_BUSY" || reason == "SOURCE_CHANGED"))
    return error::CopyNotResumed(copy.status());
  VMKEEP_RETURN_IF_ERROR(copy.status());
  VMKEEP_RETURN_IF_ERROR(env_.journal.PutCopy(record_.task, target, *copy));
  data_.copies[target] = *std::move(copy);
  return absl::OkStatus();
}

void StepRunner::CountFinishedCopies() {
  for (const auto& [target, copy] : data_.copies) {
    Enter(Progress::COPYING, IndexOf(target));
    progress_.Found(copy.file_bytes(), copy.file_bytes(), copy.file_bytes() - copy.data_bytes());
  }
}

// Durable before the first byte moves: what the next process must find to go on with it.
absl::Status StepRunner::BeginCopy(const Disk& disk, const std::stop_token& stop) {
  if (disk.target == interrupted_copy_) {
    const auto begun = data_.copies_begun.find(disk.target);
    return CheckCanResume(env_, record_, disk,
                          begun == data_.copies_begun.end() ? nullptr : &begun->second, stop);
  }
  CopyBegin begin{.base = {}, .boot_id = env_.boot_id, .until = CopiesUntil()};
  VMKEEP_ASSIGN_OR_RETURN(begin.base, IdentityOf(disk));
  VMKEEP_RETURN_IF_ERROR(env_.journal.PutCopyBegin(record_.task, disk.target, begin));
  data_.copies_begun[disk.target] = std::move(begin);
  return absl::OkStatus();
}

absl::Status StepRunner::RunMerge(const std::string& target, const std::stop_token& stop) {
  const int index = IndexOf(target);
  if (index < 0) return absl::InternalError(absl::StrCat("no disk ", target));
  Enter(Progress::MERGING, index);
  const OverlayDisk& overlay = data_.overlays[index];
  return Noted({overlay}, MergeDisk(Merging(stop), overlay, [this](const MergeStatus& status) {
                 progress_.Update(status.bytes_done, status.bytes_total, 0);
               }));
}

absl::Status StepRunner::RunExport(const std::stop_token& stop) {
  progress_.EnterAll(Progress::EXPORTING, DataBytes());
  export_until_ = CopiesUntil();
  VMKEEP_ASSIGN_OR_RETURN(data_.export_folder, PrepareExport(env_, record_, stop));
  // Durable before anybody writes there: the next process must know what to end.
  VMKEEP_RETURN_IF_ERROR(env_.journal.PutExportFolder(record_.task, data_.export_folder));
  VMKEEP_ASSIGN_OR_RETURN(
      data_.snapshot,
      ExportVm(env_, Exporting(), *export_until_, stop, [this](const ExportStatus& status) {
        const int64_t by_percent =
            static_cast<int64_t>(static_cast<double>(DataBytes()) / 100 * status.percent);
        const int64_t done = std::max(status.bytes_done, by_percent);
        progress_.Update(done, std::max(done, DataBytes()), 0);
      }));
  return env_.journal.PutSnapshot(record_.task, *data_.snapshot);
}

absl::Status StepRunner::RunEndExport(const std::stop_token& stop) {
  progress_.EnterAll(Progress::EXPORTING, DataBytes());
  if (data_.export_folder.empty()) return absl::OkStatus();  // it came to none
  return EndExportSurely(env_, Exporting(), stop);
}

absl::Status StepRunner::RunSeal(const std::stop_token& stop) {
  progress_.EnterAll(Progress::SEALING, DataBytes());
  VMKEEP_ASSIGN_OR_RETURN(worker::v1::SealExportResult sealed,
                          SealExport(env_, record_, data_.vm.disks, CopiesUntil(), stop,
                                     [this](const worker::v1::Progress& p) {
                                       progress_.Update(p.bytes_done(), p.bytes_total(),
                                                        p.bytes_holes());
                                     }));
  VMKEEP_RETURN_IF_ERROR(env_.journal.PutSealed(record_.task, sealed));
  data_.sealed = std::move(sealed);
  return absl::OkStatus();
}

absl::Status StepRunner::RunPublish(const std::stop_token& stop) {
  Enter(Progress::PUBLISHING);
  worker::v1::Request request;
  VMKEEP_ASSIGN_OR_RETURN(
      *request.mutable_publish(),
      PublishJob(record_, data_,
                 {env_.options.hostname, env_.hypervisor.name(), env_.hypervisor.simulated()}));
  VMKEEP_ASSIGN_OR_RETURN(*request.mutable_publish()->mutable_repository(),
                          RepositoryOf(env_.options, record_.slot, record_.repository_id));
  Backoff backoff(absl::Seconds(1), absl::Seconds(10), std::hash<std::string>()(record_.task.id));
  for (int tries = 1;; ++tries) {
    const absl::StatusOr<worker::v1::Result> result = RunJob(
        env_, request, record_.repository_id, {.deadline = env_.options.publish_deadline}, stop);
    if (result.ok()) {
      result_ = ResultOf(data_, result->publish(), env_.hypervisor.simulated());
      return absl::OkStatus();
    }
    // Not known whether the rename happened: asking again finds out.
    const bool unclear =
        absl::IsUnavailable(result.status()) || absl::IsDeadlineExceeded(result.status());
    if (!unclear || tries == kPublishTries || !env_.clock.WaitFor(backoff.Next(), stop)) {
      return result.status();
    }
  }
}

absl::Status StepRunner::RunDiscard(const std::stop_token& stop) {
  Enter(Progress::REMOVING);
  return DiscardTry(env_, record_, stop);
}

absl::Status StepRunner::RunScrub(const std::stop_token& stop) {
  Enter(Progress::REMOVING);
  VMKEEP_ASSIGN_OR_RETURN(const std::vector<TaskRecord> leftovers, env_.journal.Leftovers());
  for (const TaskRecord& leftover : leftovers) {
    if (leftover.backup_id != record_.backup_id ||
        leftover.repository_id != record_.repository_id) {
      continue;  // another backup's, or in a repository that is not asked for
    }
    VMKEEP_RETURN_IF_ERROR(DiscardTry(env_, leftover, stop));
    VMKEEP_RETURN_IF_ERROR(env_.journal.ForgetFiles(leftover.task));
  }
  return ScrubPublished(env_, record_, stop);
}

MergeContext StepRunner::Merging(const std::stop_token& stop) const {
  return {env_.hypervisor,
          env_.clock,
          env_.options.merge_deadline,
          stop,
          [this](const OverlayDisk& disk, const absl::Status& status) {
            env_.alerts->Note({disk}, {data_.vm.name, record_.backup_id}, status);
          },
          env_.options.merge_ladder,
          RoomCheck(env_, data_.vm.disks)};
}

absl::Status StepRunner::Noted(const std::vector<OverlayDisk>& disks, absl::Status status) const {
  env_.alerts->Note(disks, {data_.vm.name, record_.backup_id}, status);
  return status;
}

int StepRunner::IndexOf(const std::string& target) const {
  for (size_t i = 0; i < data_.vm.disks.size(); ++i) {
    if (data_.vm.disks[i].target == target) return static_cast<int>(i);
  }
  return -1;
}

ExportPlan StepRunner::Exporting() const {
  return {.vm_uuid = record_.vm_uuid,
          .folder = data_.export_folder,
          .quiesce = PolicyOf(record_.backup.quiesce())};
}

int64_t StepRunner::DataBytes() const {
  int64_t sum = 0;
  for (const Disk& disk : data_.vm.disks) sum += disk.data_bytes;
  return sum;
}

absl::Duration StepRunner::CopiesUntil() const {
  if (export_until_) return *export_until_;
  if (!data_.copies_begun.empty()) return data_.copies_begun.begin()->second.until;
  const auto& asked = record_.backup.copy_deadline();
  const absl::Duration deadline = absl::Seconds(asked.seconds()) + absl::Nanoseconds(asked.nanos());
  return env_.clock.Monotonic() +
         (deadline > absl::ZeroDuration() ? deadline : env_.options.copy_deadline);
}

void StepRunner::Enter(Progress::Phase phase, int disk) {
  std::vector<int64_t> totals;
  for (const Disk& each : data_.vm.disks) {
    // The length of a raw image is its virtual size; the worker corrects a guess for the others.
    const bool whole = each.stored_format() == "raw" && phase == Progress::COPYING;
    totals.push_back(whole ? each.virtual_bytes : phase == Progress::COPYING ? each.data_bytes : 0);
  }
  progress_.Enter(phase, totals, disk);
}

}  // namespace vmkeep::executor
