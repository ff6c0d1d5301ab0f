#include "executor/task/backup_manifest.h"

#include "common/version.h"
#include "executor/task/copy.h"

#include "absl/strings/str_cat.h"

#include <optional>
#include <utility>
#include <vector>

namespace vmkeep::executor {
namespace {

namespace manifest = ::vmkeep::manifest::v1;
using ::vmkeep::v1::Backup;

Backup::Consistency ToProto(Consistency level) {
  switch (level) {
    case Consistency::kUnknown:
      return Backup::CONSISTENCY_UNSPECIFIED;
    case Consistency::kCrash:
      return Backup::CRASH;
    case Consistency::kFilesystem:
      return Backup::FILESYSTEM;
    case Consistency::kApplication:
      return Backup::APPLICATION;
  }
  return Backup::CONSISTENCY_UNSPECIFIED;
}

std::string PolicyName(Backup::Quiesce policy) {
  return Backup::Quiesce_Name(policy == Backup::QUIESCE_UNSPECIFIED ? Backup::IF_AVAILABLE
                                                                    : policy);
}

// A disk as it lies in the repository.
struct StoredDisk {
  std::string file;
  std::string format;
  worker::v1::CopyResult copy;
};

std::optional<StoredDisk> StoredOf(const BackupData& data, const Disk& disk) {
  if (data.sealed) {
    // Of a chain too: its parents are files of their own.
    for (const worker::v1::SealedDisk& sealed : data.sealed->disks()) {
      if (sealed.target() == disk.target)
        return StoredDisk{sealed.file(), disk.format, sealed.copy()};
    }
    return std::nullopt;
  }
  const auto copy = data.copies.find(disk.target);
  if (copy == data.copies.end()) return std::nullopt;
  return StoredDisk{DiskFileName(disk), disk.stored_format(), copy->second};
}

void AddDisks(const BackupData& data, const std::vector<StoredDisk>& stored,
              manifest::Manifest& manifest) {
  for (size_t i = 0; i < data.vm.disks.size(); ++i) {
    const Disk& disk = data.vm.disks[i];
    manifest::Disk& added = *manifest.add_disks();
    added.set_target(disk.target);
    added.set_file(stored[i].file);
    added.set_format(stored[i].format);
    added.set_virtual_bytes(disk.virtual_bytes);
    added.set_file_bytes(stored[i].copy.file_bytes());
    added.set_data_bytes(stored[i].copy.data_bytes());
    added.mutable_source()->set_path(disk.source);
    added.mutable_source()->set_format(disk.format);
    added.mutable_source()->set_data_file(disk.data_file);
    for (const ImageLayer& layer : disk.backing) added.mutable_source()->add_chain(layer.file);
    *added.mutable_digest() = stored[i].copy.digest();
  }
  for (const ExcludedDisk& disk : data.vm.excluded) {
    manifest::ExcludedDisk& added = *manifest.add_excluded_disks();
    added.set_target(disk.target);
    added.set_reason(disk.reason);
  }
  for (const std::string& what : data.vm.not_included) manifest.add_not_included(what);
}

manifest::Manifest ManifestOf(const TaskRecord& record, const BackupData& data,
                              const std::vector<StoredDisk>& stored, const Maker& maker) {
  const v1::BackupSpec& spec = record.backup;
  manifest::Manifest manifest;
  manifest.set_format_version(1);
  manifest.set_backup_id(record.backup_id);
  manifest.set_task_id(record.task.id);
  manifest.set_epoch(record.task.epoch);
  manifest.set_name(spec.name());
  *manifest.mutable_labels() = spec.labels();
  manifest.set_project(spec.project());
  manifest.mutable_vm()->set_id(spec.vm_id());
  manifest.mutable_vm()->set_uuid(record.vm_uuid);
  manifest.mutable_vm()->set_name(data.vm.name);
  manifest.mutable_host()->set_id(spec.host_id());
  manifest.mutable_host()->set_hostname(maker.hostname);
  manifest.set_hypervisor(maker.hypervisor);
  manifest.set_simulated(maker.simulated);
  manifest.set_product_version(kVersion);
  manifest.mutable_repository()->set_id(record.repository_id);
  manifest.mutable_repository()->set_slot(record.slot);
  if (spec.has_request_time()) *manifest.mutable_request_time() = spec.request_time();
  *manifest.mutable_time_valid() = ToTimestamp(data.snapshot->instant);
  manifest.set_consistency(Backup::Consistency_Name(ToProto(data.snapshot->consistency)));
  manifest.mutable_quiesce()->set_policy(PolicyName(spec.quiesce()));
  manifest.mutable_quiesce()->set_detail(data.snapshot->quiesce_detail);
  AddDisks(data, stored, manifest);
  return manifest;
}

void AddFile(worker::v1::Publish& job, const std::string& file, const std::string& role,
             const std::string& content) {
  if (content.empty()) return;
  worker::v1::SmallFile& added = *job.add_small_files();
  added.set_file(file);
  added.set_role(role);
  added.set_content(content);
}

}  // namespace

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  google::protobuf::Timestamp stamp;
  const int64_t seconds = absl::ToUnixSeconds(time);
  stamp.set_seconds(seconds);
  stamp.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return stamp;
}

absl::StatusOr<worker::v1::Publish> PublishJob(const TaskRecord& record, const BackupData& data,
                                               const Maker& maker) {
  std::vector<StoredDisk> stored;
  for (const Disk& disk : data.vm.disks) {
    std::optional<StoredDisk> found = StoredOf(data, disk);
    if (!found || !data.snapshot) {
      return absl::InternalError(absl::StrCat("disk ", disk.target, " was not copied"));
    }
    stored.push_back(*std::move(found));
  }
  worker::v1::Publish job;
  job.set_incoming(record.task.ToString());
  *job.mutable_manifest() = ManifestOf(record, data, stored, maker);
  if (data.sealed) {
    *job.mutable_sealed_files() = data.sealed->files();
    return job;  // the definition is in there
  }
  AddFile(job, "domain.xml", "domain", data.restore_xml);
  AddFile(job, "domain-live.xml", "domain-live", data.vm.live_xml);
  AddFile(job, "domain-inactive.xml", "domain-inactive", data.vm.inactive_xml);
  if (!data.vm.nvram.empty()) {
    worker::v1::SmallFile& nvram = *job.add_small_files();
    nvram.set_file("nvram");
    nvram.set_role("nvram");
    nvram.set_path(data.vm.nvram);
  }
  return job;
}

v1::BackupResult ResultOf(const BackupData& data, const worker::v1::PublishResult& published,
                          bool simulated) {
  v1::BackupResult result;
  *result.mutable_time_valid() = ToTimestamp(data.snapshot->instant);
  result.set_consistency(ToProto(data.snapshot->consistency));
  int64_t virtual_bytes = 0;
  int64_t data_bytes = 0;
  for (const Disk& disk : data.vm.disks) virtual_bytes += disk.virtual_bytes;
  for (const auto& [target, copy] : data.copies) data_bytes += copy.data_bytes();
  if (data.sealed) {
    for (const worker::v1::SealedDisk& disk : data.sealed->disks()) {
      data_bytes += disk.copy().data_bytes();
    }
    // A disk's data may be in its parents.
    for (const manifest::File& file : data.sealed->files()) {
      if (file.role() == "parent") data_bytes += file.bytes();
    }
  }
  result.set_virtual_bytes(virtual_bytes);
  result.set_data_bytes(data_bytes);
  result.set_stored_bytes(published.stored_bytes());
  result.set_manifest_sha256(published.manifest_sha256());
  for (const ExcludedDisk& disk : data.vm.excluded) {
    auto& added = *result.add_excluded_disks();
    added.set_target(disk.target);
    added.set_reason(disk.reason);
  }
  result.set_simulated(simulated);
  return result;
}

}  // namespace vmkeep::executor
