#include "controller/store/sqlite/file_lock.h"

#include "controller/domain/errors.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace vmkeep::controller {
namespace {

absl::Status Failed(const std::string& path) {
  return absl::ErrnoToStatus(errno, absl::StrCat("lock ", path));
}

// Two spellings of one file are one lock.
std::string LockPath(const std::string& store_path) {
  std::error_code ignored;
  const std::filesystem::path canonical = std::filesystem::weakly_canonical(store_path, ignored);
  return absl::StrCat(ignored ? store_path : canonical.string(), ".lock");
}

std::string Holder(int fd) {
  char pid[32] = {};
  const ssize_t size = pread(fd, pid, sizeof(pid) - 1, 0);
  if (size <= 0) return "another controller";
  return absl::StrCat("another controller (process ", absl::StripAsciiWhitespace(pid), ")");
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileLock>> FileLock::Acquire(const std::string& store_path) {
  const std::string path = LockPath(store_path);
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return Failed(path);
  std::unique_ptr<FileLock> lock(new FileLock(fd));
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return error::StoreLocked(store_path, Holder(fd));
    return Failed(path);
  }
  // For the message of whoever comes second; nothing depends on it.
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(fd, 0) != 0 ||
      pwrite(fd, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return Failed(path);
  }
  return lock;
}

FileLock::~FileLock() { close(fd_); }

}  // namespace vmkeep::controller
