#include "common/fs/errors.h"
#include "common/host/errors.h"
#include "common/host/state_folder.h"

#include "absl/strings/str_cat.h"
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace vmkeep::host {
namespace {

constexpr mode_t kOwnerOnly = 0600;

fs::Fd Open(const std::string& path, int flags) {
  return fs::Fd(open(path.c_str(), flags | O_CREAT | O_CLOEXEC, kOwnerOnly));
}

}  // namespace

absl::Status MakeStateFolder(const std::string& path) {
  std::error_code failed;
  std::filesystem::create_directories(path, failed);  // the umask closes it
  if (failed) {
    return absl::FailedPreconditionError(absl::StrCat("make ", path, ": ", failed.message()));
  }
  return absl::OkStatus();
}

absl::StatusOr<fs::Fd> LockStateFolder(const std::string& path) {
  const std::string file = path + "/lock";
  fs::Fd lock = Open(file, O_RDWR);
  if (!lock.valid()) return fs::error::FromErrno(errno, "cannot open", file);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  return error::StateFolderInUse(path);
}

absl::Status MakePrivateFile(const std::string& path) {
  const fs::Fd file = Open(path, O_RDWR);
  if (!file.valid()) return fs::error::FromErrno(errno, "cannot open", path);
  if (fchmod(file.get(), kOwnerOnly) != 0)
    return fs::error::FromErrno(errno, "cannot close to others", path);
  return absl::OkStatus();
}

absl::Status AllocateFile(const std::string& path, int64_t bytes) {
  const fs::Fd file = Open(path, O_WRONLY | O_TRUNC);
  if (!file.valid()) return fs::error::FromErrno(errno, "cannot open", path);
  const int err = posix_fallocate(file.get(), 0, bytes);
  if (err == 0) return absl::OkStatus();
  (void)unlink(path.c_str());
  return fs::error::FromErrno(err, "cannot allocate", path);
}

}  // namespace vmkeep::host
