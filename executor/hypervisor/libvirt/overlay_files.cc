#include "executor/hypervisor/libvirt/overlay_files.h"

#include "common/log.h"

#include "absl/strings/str_cat.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace vmkeep::executor::libvirt {

absl::Status OverlayFiles::Reserve(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("create ", path));
  struct stat made = {};
  const int error = fstat(fd, &made) == 0 ? 0 : errno;
  close(fd);
  files_.push_back({path, made.st_dev, made.st_ino});
  if (error != 0) return absl::ErrnoToStatus(error, absl::StrCat("stat ", path));
  return absl::OkStatus();
}

void OverlayFiles::Remove() {
  for (const Reserved& file : files_) {
    struct stat found = {};
    if (lstat(file.path.c_str(), &found) != 0) continue;  // libvirt removed it
    if (found.st_dev != file.dev || found.st_ino != file.ino) continue;
    if (absl::Status status = UnlinkOverlay(file.path); !status.ok()) {
      log::Warning("overlay_left_behind", {{"file", file.path}, {"error", status.ToString()}});
    }
  }
  files_.clear();
}

absl::Status UnlinkOverlay(const std::string& path) {
  if (unlink(path.c_str()) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return absl::ErrnoToStatus(errno, absl::StrCat("unlink ", path));
  }
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("open ", folder));
  const int error = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  if (error != 0) return absl::ErrnoToStatus(error, absl::StrCat("flush ", folder));
  return absl::OkStatus();
}

}  // namespace vmkeep::executor::libvirt
