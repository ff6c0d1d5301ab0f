#include "controller/dispatch/convert.h"

#include "absl/strings/ascii.h"
#include "absl/time/time.h"
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace vmkeep::controller {
namespace {

namespace pb = ::vmkeep::executor::v1;
using ::vmkeep::v1::Backup;

int64_t Size(int64_t bytes) { return std::max<int64_t>(bytes, 0); }

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  google::protobuf::Timestamp result;
  const int64_t seconds = absl::ToUnixSeconds(time);
  result.set_seconds(seconds);
  result.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return result;
}

TaskRef FromTaskRef(const pb::TaskRef& task) { return {task.task_id(), task.epoch()}; }

Failure FromFailure(const ::vmkeep::v1::Failure& failure, absl::Time reported) {
  Failure result;
  result.reason = failure.reason();
  result.message = failure.message();
  result.phase = failure.phase();
  result.retryable = failure.retryable();
  result.time = failure.has_time() ? ToTime(failure.time()) : reported;
  result.metadata = {failure.metadata().begin(), failure.metadata().end()};
  return result;
}

TaskProgress FromProgress(const ::vmkeep::v1::Progress& progress, absl::Time reported) {
  TaskProgress result;
  Progress& to = result.progress;
  if (::vmkeep::v1::Progress::Phase_IsValid(progress.phase()))
    to.phase = static_cast<Phase>(progress.phase());
  to.disk = progress.disk();
  to.disk_count = progress.disk_count();
  to.bytes_done = Size(progress.bytes_done());
  to.bytes_total = Size(progress.bytes_total());
  to.bytes_holes = Size(progress.bytes_holes());
  to.bytes_per_second = Size(progress.bytes_per_second());
  if (progress.has_eta()) to.eta = absl::Seconds(progress.eta().seconds());
  to.as_of = progress.has_as_of() ? ToTime(progress.as_of()) : reported;
  return result;
}

BackupResult FromResult(const pb::BackupResult& result) {
  BackupResult to;
  to.time_valid = ToTime(result.time_valid());
  if (Backup::Consistency_IsValid(result.consistency())) {
    to.consistency = static_cast<Consistency>(result.consistency());
  }
  to.virtual_bytes = Size(result.virtual_bytes());
  to.data_bytes = Size(result.data_bytes());
  to.stored_bytes = Size(result.stored_bytes());
  to.manifest_sha256 = result.manifest_sha256();
  for (const auto& disk : result.excluded_disks())
    to.excluded_disks.push_back({disk.target(), disk.reason()});
  to.simulated = result.simulated();
  return to;
}

TaskEnded FromEnded(const pb::TaskEnded& ended, absl::Time reported) {
  TaskEnded to;
  if (ended.outcome() == pb::TaskEnded::DONE) to.outcome = Outcome::kDone;
  if (ended.outcome() == pb::TaskEnded::CANCELLED) to.outcome = Outcome::kCancelled;
  if (ended.has_failure()) to.failure = FromFailure(ended.failure(), reported);
  if (ended.has_backup()) to.backup = FromResult(ended.backup());
  to.files_may_remain = ended.files_may_remain();
  to.vm_on_overlay = ended.vm_on_overlay();
  to.snapshot_taken = ended.snapshot_taken();
  return to;
}

StepDone FromStep(const pb::StepDone& step) {
  StepDone to{step.step(), step.target(), std::nullopt};
  if (step.has_time_valid()) to.time_valid = ToTime(step.time_valid());
  return to;
}

Overlay FromOverlay(const ::vmkeep::v1::Overlay& overlay) {
  return {.since = ToTime(overlay.since()),
          .bytes = Size(overlay.bytes()),
          .backup_id = overlay.backup_id(),
          .files = {overlay.files().begin(), overlay.files().end()},
          .needs_attention = overlay.needs_attention(),
          .remedy = overlay.remedy(),
          .reason = overlay.reason(),
          .message = overlay.message(),
          .files_only = overlay.files_only()};
}

pb::BackupSpec ToBackupSpec(const BackupRecord& record) {
  pb::BackupSpec spec;
  spec.set_backup_id(record.id);
  spec.set_vm_uuid(record.vm_uuid);
  spec.set_vm_id(record.vm_id);
  spec.set_name(record.name);
  spec.set_repository(record.repository);
  spec.set_repository_id(record.repository_id);
  spec.set_quiesce(static_cast<Backup::Quiesce>(record.quiesce));
  spec.mutable_labels()->insert(record.labels.begin(), record.labels.end());
  spec.set_project(record.project);
  spec.set_host_id(record.host_id);
  *spec.mutable_request_time() = ToTimestamp(record.create_time);
  return spec;
}

pb::ScrubSpec ToScrubSpec(const BackupRecord& record) {
  pb::ScrubSpec spec;
  spec.set_backup_id(record.id);
  spec.set_vm_uuid(record.vm_uuid);
  spec.set_repository(record.repository);
  spec.set_repository_id(record.repository_id);
  return spec;
}

}  // namespace

pb::TaskRef ToProto(const TaskRef& task) {
  pb::TaskRef result;
  result.set_task_id(task.task_id);
  result.set_epoch(task.epoch);
  return result;
}

pb::StartTaskRequest ToStartTask(const BackupRecord& record) {
  pb::StartTaskRequest request;
  *request.mutable_task() = ToProto(TaskRef{record.task_id, record.epoch});
  if (record.task_is_scrub) {
    *request.mutable_scrub() = ToScrubSpec(record);
  } else {
    *request.mutable_backup() = ToBackupSpec(record);
  }
  return request;
}

ExecutorClient::Hello FromProto(const pb::HelloResponse& hello) {
  ExecutorClient::Hello result;
  result.host.executor_id = hello.executor_id();
  result.host.hostname = hello.hostname();
  result.host.hypervisor = hello.hypervisor();
  result.host.simulated = hello.simulated();
  result.host.version = hello.version();
  result.last_sequence = Size(hello.last_sequence());
  result.protocol = hello.protocol();
  return result;
}

KnownTask FromProto(const pb::TaskStatus& task) {
  return {FromTaskRef(task.task()), task.backup_id(), task.ended()};
}

VmRecord FromProto(const ::vmkeep::v1::Vm& vm) {
  VmRecord result;
  result.uuid = absl::AsciiStrToLower(vm.uuid());
  result.name = vm.name();
  if (::vmkeep::v1::Vm::PowerState_IsValid(vm.power_state()))
    result.power = static_cast<PowerState>(vm.power_state());
  if (vm.has_overlay()) result.overlay = FromOverlay(vm.overlay());
  return result;
}

RepositoryRecord FromProto(const ::vmkeep::v1::Repository& repository) {
  RepositoryRecord result;
  result.id = repository.id();
  result.slot = repository.slot();
  result.path = repository.path();
  result.total_bytes = Size(repository.total_bytes());
  result.free_bytes = Size(repository.free_bytes());
  if (::vmkeep::v1::Repository::Health_IsValid(repository.health())) {
    result.health = static_cast<Health>(repository.health());
  }
  result.message = repository.message();
  result.target = repository.target();
  if (repository.has_probe_time()) result.probe_time = ToTime(repository.probe_time());
  return result;
}

ExecutorEvent FromProto(const pb::Event& event) {
  ExecutorEvent result;
  result.sequence = Size(event.sequence());
  result.time = ToTime(event.time());
  result.task = FromTaskRef(event.task());
  result.backup_id = event.backup_id();
  switch (event.body_case()) {
    case pb::Event::kProgress:
      result.body = FromProgress(event.progress(), result.time);
      break;
    case pb::Event::kStep:
      result.body = FromStep(event.step());
      break;
    case pb::Event::kEnded:
      result.body = FromEnded(event.ended(), result.time);
      break;
    case pb::Event::kInventory:
      result.body = InventoryChanged{};
      break;
    case pb::Event::BODY_NOT_SET:
      result.body = StepDone{};
      break;
  }
  return result;
}

}  // namespace vmkeep::controller
