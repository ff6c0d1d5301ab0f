#include "controller/service/convert.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <optional>

namespace vmkeep::controller {
namespace {

namespace pb = ::vmkeep::v1;

// A time that was never set stays unset.
template <typename Message>
void SetTime(absl::Time time, Message* message, google::protobuf::Timestamp* (Message::*field)()) {
  if (time == absl::Time() || time == absl::InfinitePast() || time == absl::InfiniteFuture())
    return;
  google::protobuf::Timestamp* timestamp = (message->*field)();
  const int64_t seconds = absl::ToUnixSeconds(time);
  timestamp->set_seconds(seconds);
  timestamp->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

pb::Failure ToProto(const Failure& failure) {
  pb::Failure result;
  result.set_reason(failure.reason);
  result.set_message(failure.message);
  result.set_phase(failure.phase);
  result.set_retryable(failure.retryable);
  SetTime(failure.time, &result, &pb::Failure::mutable_time);
  result.mutable_metadata()->insert(failure.metadata.begin(), failure.metadata.end());
  return result;
}

pb::Condition ToProto(const Condition& condition) {
  pb::Condition result;
  result.set_type(condition.type);
  result.set_message(condition.message);
  SetTime(condition.since, &result, &pb::Condition::mutable_since);
  return result;
}

pb::Progress ToProto(const Progress& progress) {
  pb::Progress result;
  result.set_phase(static_cast<pb::Progress::Phase>(progress.phase));
  result.set_disk(progress.disk);
  result.set_disk_count(progress.disk_count);
  result.set_bytes_done(progress.bytes_done);
  result.set_bytes_total(progress.bytes_total);
  result.set_bytes_holes(progress.bytes_holes);
  result.set_bytes_per_second(progress.bytes_per_second);
  if (progress.eta) result.mutable_eta()->set_seconds(absl::ToInt64Seconds(*progress.eta));
  SetTime(progress.as_of, &result, &pb::Progress::mutable_as_of);
  return result;
}

void SetIdentity(const BackupRecord& record, pb::Backup& result) {
  result.set_id(record.id);
  result.set_vm_id(record.vm_id);
  result.set_vm_uuid(record.vm_uuid);
  result.set_vm_name(record.vm_name);
  result.set_name(record.name);
  result.set_project(record.project);
  result.set_created_by(record.created_by);
  result.mutable_labels()->insert(record.labels.begin(), record.labels.end());
  result.set_etag(EtagOf(record));
}

void SetPlace(const BackupRecord& record, pb::Backup& result) {
  result.set_host_id(record.host_id);
  result.set_hypervisor(record.hypervisor);
  result.set_simulated(record.simulated);
  result.set_repository(record.repository);
  result.set_requested_repository(record.requested_repository);
  result.set_repository_id(record.repository_id);
  result.set_placement_reason(record.placement_reason);
}

void SetResult(const BackupRecord& record, pb::Backup& result) {
  if (record.time_valid) SetTime(*record.time_valid, &result, &pb::Backup::mutable_time_valid);
  result.set_consistency(static_cast<pb::Backup::Consistency>(record.consistency));
  result.set_virtual_bytes(record.virtual_bytes);
  result.set_data_bytes(record.data_bytes);
  result.set_stored_bytes(record.stored_bytes);
  result.set_manifest_sha256(record.manifest_sha256);
  result.set_scrub_level(record.scrub_level);
  for (const ExcludedDisk& disk : record.excluded_disks) {
    pb::ExcludedDisk* added = result.add_excluded_disks();
    added->set_target(disk.target);
    added->set_reason(disk.reason);
  }
}

pb::Overlay ToProto(const Overlay& overlay) {
  pb::Overlay result;
  SetTime(overlay.since, &result, &pb::Overlay::mutable_since);
  result.set_bytes(overlay.bytes);
  result.set_backup_id(overlay.backup_id);
  for (const std::string& file : overlay.files) result.add_files(file);
  result.set_needs_attention(overlay.needs_attention);
  result.set_remedy(overlay.remedy);
  result.set_reason(overlay.reason);
  result.set_message(overlay.message);
  result.set_files_only(overlay.files_only);
  return result;
}

}  // namespace

std::string EtagOf(const BackupRecord& record) {
  return record.revision == 0 ? std::string() : absl::StrCat(record.revision);
}

pb::Backup ToProto(const BackupView& view) {
  const BackupRecord& record = view.record;
  pb::Backup result;
  SetIdentity(record, result);
  SetPlace(record, result);
  SetResult(record, result);
  result.set_state(static_cast<pb::Backup::State>(record.state));
  result.set_quiesce(static_cast<pb::Backup::Quiesce>(record.quiesce));
  result.set_epoch(record.epoch);
  SetTime(record.create_time, &result, &pb::Backup::mutable_create_time);
  SetTime(record.update_time, &result, &pb::Backup::mutable_update_time);
  if (record.failure) *result.mutable_failure() = ToProto(*record.failure);
  if (view.progress) *result.mutable_progress() = ToProto(*view.progress);
  for (const Condition& condition : view.conditions) {
    *result.add_conditions() = ToProto(condition);
  }
  return result;
}

pb::Host ToProto(const HostView& host) {
  pb::Host result;
  result.set_id(host.record.id);
  result.set_address(host.record.address);
  result.set_executor_id(host.record.executor_id);
  result.set_hostname(host.record.hostname);
  result.set_hypervisor(host.record.hypervisor);
  result.set_version(host.record.version);
  result.set_simulated(host.record.simulated);
  result.set_draining(host.record.draining);
  result.set_availability(static_cast<pb::Host::Availability>(host.availability));
  result.set_message(host.message);
  if (host.record.last_seen)
    SetTime(*host.record.last_seen, &result, &pb::Host::mutable_last_seen_time);
  return result;
}

pb::Vm ToProto(const ResolvedVm& vm, const std::string& project,
               const BackupId& unfinished_backup_id) {
  pb::Vm result;
  result.set_id(vm.id());
  result.set_uuid(vm.vm.uuid);
  result.set_name(vm.vm.name);
  result.set_host_id(vm.vm.host_id);
  result.set_project(project);
  result.set_power_state(static_cast<pb::Vm::PowerState>(vm.vm.power));
  if (vm.vm.overlay) *result.mutable_overlay() = ToProto(*vm.vm.overlay);
  result.set_unfinished_backup_id(unfinished_backup_id);
  if (vm.candidates.size() > 1) {
    for (const HostId& host : vm.candidates) result.add_candidate_host_ids(host);
  }
  return result;
}

pb::Repository ToProto(const RepositoryRecord& repository, int64_t reserved_bytes) {
  pb::Repository result;
  result.set_id(repository.id);
  result.set_host_id(repository.host_id);
  result.set_slot(repository.slot);
  result.set_path(repository.path);
  result.set_total_bytes(repository.total_bytes);
  result.set_free_bytes(repository.free_bytes);
  result.set_reserved_bytes(reserved_bytes);
  result.set_health(static_cast<pb::Repository::Health>(repository.health));
  result.set_message(repository.message);
  result.set_target(repository.target);
  SetTime(repository.probe_time, &result, &pb::Repository::mutable_probe_time);
  return result;
}

}  // namespace vmkeep::controller
