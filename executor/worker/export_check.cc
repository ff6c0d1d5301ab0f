#include "executor/worker/export_check.h"

#include "common/fs/files.h"
#include "common/status_macros.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include <array>
#include <map>
#include <set>
#include <span>

namespace vmkeep::worker {
namespace {

// [MS-VHDX] 2.2.1, the file type identifier; the VHD specification, "Hard Disk Footer Format".
constexpr absl::string_view kVhdxMark = "vhdxfile";
constexpr absl::string_view kVhdMark = "conectix";
constexpr int64_t kVhdFooterBytes = 512;

std::string Folded(absl::string_view text) { return absl::AsciiStrToLower(text); }

absl::string_view FileName(absl::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

// Files by their folded names, without folders.
using ByName = std::multimap<std::string, size_t>;

ByName IndexByName(const ExportTree& tree) {
  ByName index;
  for (size_t i = 0; i < tree.files.size(); ++i)
    index.emplace(Folded(FileName(tree.files[i].path)), i);
  return index;
}

// What Import-VM reads: one VM, and not those of its checkpoints.
absl::Status CheckConfiguration(const ExportTree& tree, const Refuse& refuse) {
  std::string first;
  for (const ExportFile& file : tree.files) {
    const std::string path = Folded(file.path);
    if (!absl::StartsWith(path, "virtual machines/") || !absl::EndsWith(path, ".vmcx")) continue;
    if (path.find('/') != path.rfind('/')) continue;
    if (!first.empty())
      return refuse(file.path, absl::StrCat("a second configuration beside ", first));
    first = file.path;
  }
  return first.empty() ? refuse("Virtual Machines", "there is no configuration (*.vmcx) in it")
                       : absl::OkStatus();
}

absl::Status CheckMark(const fs::Fd& folder, const ExportFile& file, absl::string_view format,
                       const Refuse& refuse) {
  const bool vhdx = format == "vhdx";
  if (file.bytes == 0) return refuse(file.path, "it is empty");
  const int64_t offset = vhdx ? 0 : file.bytes - kVhdFooterBytes;
  std::array<char, kVhdxMark.size()> mark{};
  if (offset >= 0) {
    VMKEEP_ASSIGN_OR_RETURN(const fs::Fd fd, fs::OpenFile(folder, file.path));
    // Short at the end of the file, which is no mark either.
    VMKEEP_RETURN_IF_ERROR(
        fs::ReadAt(fd, offset, std::as_writable_bytes(std::span(mark)), file.path).status());
  }
  const absl::string_view found(mark.data(), mark.size());
  if (found == (vhdx ? kVhdxMark : kVhdMark)) return absl::OkStatus();
  return refuse(file.path, vhdx ? "it does not begin with the mark of a VHDX file"
                                : "it does not end with the mark of a VHD file");
}

// The image of that name, which must be there once.
absl::StatusOr<size_t> FindImage(const ExportTree& tree, const ByName& index,
                                 const std::string& name, const Refuse& refuse) {
  const auto [begin, end] = index.equal_range(Folded(name));
  if (begin == end) return refuse(name, "this image of the VM is missing");
  if (std::next(begin) != end) {
    return refuse(tree.files[std::next(begin)->second].path,
                  absl::StrCat("it has the same name as ", tree.files[begin->second].path));
  }
  return begin->second;
}

// Disks may have a parent in common. Any other two images with one name are two files, of which the
// export's is only one.
absl::Status CheckNamesApart(const v1::SealExport& job, const Refuse& refuse) {
  std::set<std::string> disks;
  std::set<std::string> parents;
  for (const v1::ExportedDisk& disk : job.disks()) {
    std::set<std::string> chain;
    bool apart = disks.insert(Folded(disk.file())).second;
    for (const std::string& parent : disk.parents())
      apart = chain.insert(Folded(parent)).second && apart;
    if (!apart) return refuse(disk.file(), "two images of the VM, or of one chain, have one name");
    parents.merge(chain);
  }
  for (const v1::ExportedDisk& disk : job.disks()) {
    if (parents.contains(Folded(disk.file())))
      return refuse(disk.file(), "a disk and a parent of one have the same name");
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view ImageFormat(absl::string_view file_name) {
  const std::string name = Folded(file_name);
  if (absl::EndsWith(name, ".vhdx") || absl::EndsWith(name, ".avhdx")) return "vhdx";
  if (absl::EndsWith(name, ".vhd") || absl::EndsWith(name, ".avhd")) return "vhd";
  return "";
}

std::string ExportListFile(const v1::ExportedDisk& disk) {
  return absl::StrCat("disk-", disk.target(), ".", ImageFormat(disk.file()), ".sha256");
}

absl::StatusOr<DiskFiles> CheckExport(const fs::Fd& folder, const ExportTree& tree,
                                      const v1::SealExport& job, const Refuse& refuse) {
  VMKEEP_RETURN_IF_ERROR(CheckNamesApart(job, refuse));
  VMKEEP_RETURN_IF_ERROR(CheckConfiguration(tree, refuse));
  const ByName index = IndexByName(tree);
  DiskFiles disks;
  for (const v1::ExportedDisk& disk : job.disks()) {
    VMKEEP_ASSIGN_OR_RETURN(const size_t file, FindImage(tree, index, disk.file(), refuse));
    disks.push_back(file);
    for (const std::string& parent : disk.parents())
      VMKEEP_RETURN_IF_ERROR(FindImage(tree, index, parent, refuse).status());
  }
  // Of the others too: a checkpoint's images are what the VM can be set back to.
  for (const ExportFile& file : tree.files) {
    const absl::string_view format = ImageFormat(file.path);
    if (!format.empty()) VMKEEP_RETURN_IF_ERROR(CheckMark(folder, file, format, refuse));
  }
  return disks;
}

}  // namespace vmkeep::worker
