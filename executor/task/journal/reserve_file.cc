#include "executor/task/journal/reserve_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

namespace vmkeep::executor {
namespace {

constexpr off_t kBytes = 8 << 20;

}  // namespace

ReserveFile::ReserveFile(std::string path) : path_(std::move(path)) {}

void ReserveFile::Fill() {
  struct stat found;
  if (stat(path_.c_str(), &found) == 0 && found.st_size == kBytes) return;
  const int fd = open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return;
  const bool filled = posix_fallocate(fd, 0, kBytes) == 0;
  close(fd);
  if (!filled) unlink(path_.c_str());
}

bool ReserveFile::Release() { return unlink(path_.c_str()) == 0; }

}  // namespace vmkeep::executor
