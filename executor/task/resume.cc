#include "executor/task/resume.h"

#include "common/fs/files.h"
#include "common/status_macros.h"
#include "executor/task/errors.h"
#include "executor/task/preflight.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

#include <cstdint>
#include <fstream>
#include <iterator>
#include <vector>

namespace vmkeep::executor {
namespace {

std::vector<std::string> FilesOf(const Disk& disk) {
  std::vector<std::string> files = {disk.source};
  if (!disk.data_file.empty()) files.push_back(disk.data_file);
  for (const ImageLayer& layer : disk.backing) {
    files.push_back(layer.file);
    if (!layer.data_file.empty()) files.push_back(layer.data_file);
  }
  return files;
}

// Empty when it cannot be looked at.
std::string IdentityOfFile(const std::string& path) {
  const absl::StatusOr<fs::FileInfo> found = fs::GetHostInfo(path);
  if (!found.ok()) return "";
  if (found->kind != fs::FileKind::kBlockDevice) {
    return absl::StrCat("file ", found->device, " ", found->inode, " ", found->bytes, " ",
                        absl::ToUnixNanos(found->modified), "\n");
  }
  // The nodes that name a device are made anew (udev), and its times say nothing of its content.
  const absl::StatusOr<int64_t> bytes = fs::BlockDeviceBytes(path);
  if (!bytes.ok()) return "";
  return absl::StrCat("device ", found->device_number, " ", *bytes, "\n");
}

absl::Status WhyNot(const Environment& env, const TaskRecord& record, const Disk& disk,
                    const CopyBegin* begun, const std::stop_token& stop) {
  if (begun == nullptr) return absl::UnavailableError("it is not known what was copied");
  if (begun->boot_id.empty() || begun->boot_id != env.boot_id)
    return absl::UnavailableError("the host was booted meanwhile");
  if (env.clock.Monotonic() >= begun->until)
    return absl::UnavailableError("the time that the copy may take is over");
  VMKEEP_ASSIGN_OR_RETURN(const std::string now, IdentityOf(disk));
  if (now != begun->base) return error::DiskChanged(disk.target, disk.source);
  return CheckRepository(env, record, /*needed=*/0, stop);
}

}  // namespace

std::string BootId() {
  std::ifstream in("/proc/sys/kernel/random/boot_id");
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  return std::string(absl::StripAsciiWhitespace(text));
}

absl::StatusOr<std::string> IdentityOf(const Disk& disk) {
  std::string identity;
  for (const std::string& file : FilesOf(disk)) {
    const std::string line = IdentityOfFile(file);
    if (line.empty()) return error::DiskChanged(disk.target, file);
    identity += line;
  }
  return identity;
}

absl::Status CheckCanResume(const Environment& env, const TaskRecord& record, const Disk& disk,
                            const CopyBegin* begun, const std::stop_token& stop) {
  const absl::Status why = WhyNot(env, record, disk, begun, stop);
  return why.ok() || absl::IsCancelled(why) ? why : error::CopyNotResumed(why);
}

}  // namespace vmkeep::executor
