#include "executor/hypervisor/hypervisor.h"

#include "executor/hypervisor/errors.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace vmkeep::executor {
namespace {

// A file name has at most 255 bytes; the mark, a UUID and the suffix take 51 of them.
constexpr size_t kMaxBaseNameBytes = 180;
constexpr absl::string_view kSuffix = ".qcow2";

bool IsDevice(const fs::FileInfo& file) { return file.kind == fs::FileKind::kBlockDevice; }
uint64_t DevOf(const fs::FileInfo& file) {
  return IsDevice(file) ? file.device_number : file.device;
}
uint64_t InoOf(const fs::FileInfo& file) { return IsDevice(file) ? 0 : file.inode; }

}  // namespace

void Disk::SetIdentity(const fs::FileInfo& file) {
  dev = DevOf(file);
  ino = InoOf(file);
}

bool Disk::IsOf(const fs::FileInfo& file) const { return dev == DevOf(file) && ino == InoOf(file); }

bool IsBlockDevice(const std::string& path) {
  const absl::StatusOr<fs::FileInfo> found = fs::GetHostInfo(path);
  return found.ok() && IsDevice(*found);
}

std::string OverlayPath(absl::string_view source, absl::string_view task_id) {
  const size_t slash = source.rfind('/');
  const size_t name_at = slash == absl::string_view::npos ? 0 : slash + 1;
  absl::string_view name = source.substr(name_at, kMaxBaseNameBytes);
  // Not through the middle of a UTF-8 character.
  if (source.size() > name_at + name.size()) {
    while (!name.empty() &&
           (static_cast<unsigned char>(source[name_at + name.size()]) & 0xC0) == 0x80) {
      name.remove_suffix(1);
    }
  }
  return absl::StrCat(source.substr(0, name_at), name, kOverlayMark, task_id, kSuffix);
}

std::string OverlayTask(absl::string_view path) {
  const size_t mark = path.rfind(kOverlayMark);
  if (mark == absl::string_view::npos) return {};
  absl::string_view task = path.substr(mark + kOverlayMark.size());
  if (!absl::ConsumeSuffix(&task, kSuffix) || absl::StrContains(task, '/')) return {};
  return std::string(task);
}

absl::Status OverlayHypervisor::StartExport(const ExportPlan&, const std::stop_token&) {
  return error::NotOfThisHypervisor(name(), "StartExport");
}
absl::StatusOr<ExportStatus> OverlayHypervisor::GetExportStatus(const ExportPlan&) {
  return error::NotOfThisHypervisor(name(), "GetExportStatus");
}
absl::Status OverlayHypervisor::EndExport(const ExportPlan&) {
  return error::NotOfThisHypervisor(name(), "EndExport");
}

absl::StatusOr<SnapshotResult> ExportHypervisor::Snapshot(const SnapshotPlan&) {
  return error::NotOfThisHypervisor(name(), "Snapshot");
}
absl::Status ExportHypervisor::Thaw(absl::string_view) { return absl::OkStatus(); }
absl::StatusOr<MergeStatus> ExportHypervisor::GetMergeStatus(const OverlayDisk&) {
  return error::NotOfThisHypervisor(name(), "GetMergeStatus");
}
absl::Status ExportHypervisor::StartMerge(const OverlayDisk&) {
  return error::NotOfThisHypervisor(name(), "StartMerge");
}
absl::Status ExportHypervisor::Pivot(const OverlayDisk&) {
  return error::NotOfThisHypervisor(name(), "Pivot");
}
absl::Status ExportHypervisor::HelpMerge(const OverlayDisk&, const MergeHelp&) {
  return error::NotOfThisHypervisor(name(), "HelpMerge");
}
absl::Status ExportHypervisor::CommitOffline(const OverlayDisk&) {
  return error::NotOfThisHypervisor(name(), "CommitOffline");
}
absl::Status ExportHypervisor::Restore(const VmDescription&, const std::vector<OverlayDisk>&) {
  return error::NotOfThisHypervisor(name(), "Restore");
}
absl::Status ExportHypervisor::RemoveOverlay(const OverlayDisk&) {
  return error::NotOfThisHypervisor(name(), "RemoveOverlay");
}
absl::StatusOr<std::string> ExportHypervisor::RestoreXml(const VmDescription&,
                                                         const std::vector<RestoreFile>&) {
  return error::NotOfThisHypervisor(name(), "RestoreXml");
}

}  // namespace vmkeep::executor
