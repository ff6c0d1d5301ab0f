#include "executor/task/preflight.h"

#include "common/fs/files.h"
#include "common/status_macros.h"
#include "executor/flat_view/flat_view.h"
#include "executor/hypervisor/errors.h"
#include "executor/task/copy.h"
#include "executor/task/errors.h"
#include "executor/task/host_space.h"
#include "executor/task/worker_job.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace vmkeep::executor {
namespace {

// Targets become parts of file names.
bool IsSafeTarget(const std::string& target) {
  return !target.empty() && target.size() <= 32 &&
         std::all_of(target.begin(), target.end(),
                     [](unsigned char c) { return absl::ascii_isalnum(c); });
}

// Of the two formats that a hypervisor's images may have.
absl::Status CheckDisks(const VmDescription& vm, absl::string_view one, absl::string_view other) {
  if (vm.disks.empty()) {
    return error::CannotBackUp(vm.name, "it has no disk that can be copied; see excluded disks");
  }
  for (const Disk& disk : vm.disks) {
    if (IsSafeTarget(disk.target) && (disk.format == one || disk.format == other)) continue;
    return error::CannotBackUp(vm.name, absl::StrCat("disk \"", disk.target, "\" of format \"",
                                                     disk.format, "\" is none that vmkeep knows: ",
                                                     one, " and ", other, " images are copied"));
  }
  return absl::OkStatus();
}

absl::Status CheckDescription(const Environment& env, const VmDescription& vm) {
  VMKEEP_RETURN_IF_ERROR(CheckDisks(vm, "raw", "qcow2"));
  for (const Disk& disk : vm.disks) {
    VMKEEP_RETURN_IF_ERROR(CheckSameFile(disk));
    if (disk.flat()) VMKEEP_RETURN_IF_ERROR(CheckCanServe(disk, env.options.flat_view_dir));
  }
  return absl::OkStatus();
}

// An overlay is a file, and beside a device there is no place for one.
absl::Status CheckOverlayDir(const VmDescription& vm, const std::string& overlay_dir) {
  const auto device = std::find_if(vm.disks.begin(), vm.disks.end(),
                                   [](const Disk& disk) { return disk.block_device; });
  if (device == vm.disks.end()) return absl::OkStatus();
  const std::string disk = absl::StrCat("disk ", device->target, " (", device->source, ")");
  if (overlay_dir.empty()) {
    return error::CannotBackUp(
        vm.name,
        absl::StrCat(disk,
                     " is a block device, and the guest's writes during a backup need a "
                     "folder on a file system with room: give the executor --overlay_dir"));
  }
  const absl::StatusOr<fs::FileInfo> found = fs::GetHostInfo(overlay_dir);
  if (found.ok() && found->kind == fs::FileKind::kFolder) return absl::OkStatus();
  return error::CannotBackUp(
      vm.name, absl::StrCat(disk, " is a block device, and the executor's --overlay_dir (",
                            overlay_dir, ") is no folder: make it, or mount it"));
}

}  // namespace

absl::Status CheckRepository(const Environment& env, const TaskRecord& record, int64_t needed,
                             const std::stop_token& stop) {
  worker::v1::Request request;
  VMKEEP_ASSIGN_OR_RETURN(*request.mutable_probe()->mutable_repository(),
                          RepositoryOf(env.options, record.slot, record.repository_id));
  VMKEEP_ASSIGN_OR_RETURN(
      const worker::v1::Result result,
      RunJob(env, request, record.repository_id, {.deadline = env.options.probe_deadline}, stop));
  if (result.probe().id() != record.repository_id) {
    return error::RepositoryMismatch(record.slot, record.repository_id, result.probe().id());
  }
  if (result.probe().free_bytes() < needed) {
    return error::RepositoryFull(record.slot, needed, result.probe().free_bytes());
  }
  return absl::OkStatus();
}

absl::Status CheckSameFile(const Disk& disk) {
  const absl::StatusOr<fs::FileInfo> found = fs::GetHostInfo(disk.source);
  return found.ok() && disk.IsOf(*found) ? absl::OkStatus()
                                         : error::DiskChanged(disk.target, disk.source);
}

absl::StatusOr<BackupData> Preflight(const Environment& env, const TaskRecord& record,
                                     const std::stop_token& stop) {
  BackupData data;
  VMKEEP_ASSIGN_OR_RETURN(data.vm, env.hypervisor.Describe(record.vm_uuid));
  VMKEEP_RETURN_IF_ERROR(CheckDescription(env, data.vm));
  VMKEEP_RETURN_IF_ERROR(CheckOverlayDir(data.vm, env.options.overlay_dir));
  int64_t data_bytes = 0;
  std::vector<Hypervisor::RestoreFile> files;
  for (const Disk& disk : data.vm.disks) {
    files.push_back({disk.target, DiskFileName(disk), disk.stored_format()});
    data_bytes += disk.data_bytes;
    data.overlays.push_back(
        {record.vm_uuid, disk.target, disk.source, disk.format,
         OverlayFor(disk, record.vm_uuid, record.task.id, env.options.overlay_dir)});
  }
  VMKEEP_ASSIGN_OR_RETURN(data.restore_xml, env.hypervisor.RestoreXml(data.vm, files));
  VMKEEP_RETURN_IF_ERROR(CheckRepository(env, record, data_bytes, stop));
  VMKEEP_RETURN_IF_ERROR(
      CheckRooms(RoomsOf(data.vm.disks, env.options.overlay_reserve_bytes, env.options.overlay_dir),
                 1.0, env.free_space));
  VMKEEP_RETURN_IF_ERROR(env.journal.PutPreflight(record.task, data));
  return data;
}

absl::StatusOr<BackupData> PreflightExport(const Environment& env, const TaskRecord& record,
                                           const std::stop_token& stop) {
  BackupData data;
  VMKEEP_ASSIGN_OR_RETURN(data.vm, env.hypervisor.Describe(record.vm_uuid));
  VMKEEP_RETURN_IF_ERROR(CheckDisks(data.vm, "vhdx", "vhd"));
  int64_t data_bytes = 0;
  for (const Disk& disk : data.vm.disks) data_bytes += disk.data_bytes;
  VMKEEP_RETURN_IF_ERROR(CheckRepository(env, record, data_bytes, stop));
  VMKEEP_RETURN_IF_ERROR(env.journal.PutPreflight(record.task, data));
  return data;
}

}  // namespace vmkeep::executor
