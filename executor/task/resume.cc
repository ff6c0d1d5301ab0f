#include "executor/task/resume.h"

#include "common/fs/fd.h"
#include "common/status_macros.h"
#include "executor/task/errors.h"
#include "executor/task/preflight.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

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
  struct stat found{};
  if (stat(path.c_str(), &found) != 0) return "";
  if (!S_ISBLK(found.st_mode)) {
    return absl::StrCat("file ", found.st_dev, " ", found.st_ino, " ", found.st_size, " ",
                        absl::ToUnixNanos(absl::TimeFromTimespec(found.st_mtim)), "\n");
  }
  // The nodes that name a device are made anew (udev), and its times say nothing of its content.
  const fs::Fd device(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  uint64_t bytes = 0;
  if (!device.valid() || ioctl(device.get(), BLKGETSIZE64, &bytes) != 0) return "";
  return absl::StrCat("device ", found.st_rdev, " ", bytes, "\n");
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
