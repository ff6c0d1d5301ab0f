#ifndef VMKEEP_CONTROLLER_STORE_SQLITE_FILE_LOCK_H_
#define VMKEEP_CONTROLLER_STORE_SQLITE_FILE_LOCK_H_

#include "absl/status/statusor.h"

#include <memory>
#include <string>

namespace vmkeep::controller {

// Keeps a second controller off a store: flock on "<store>.lock". Not on the database itself,
// because closing any other descriptor of that file would drop SQLite's own locks. Held until
// destroyed; the kernel lets go of it when the process ends, however it ends.
class FileLock {
 public:
  // STORE_LOCKED when somebody holds it.
  static absl::StatusOr<std::unique_ptr<FileLock>> Acquire(const std::string& store_path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  const int fd_;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_STORE_SQLITE_FILE_LOCK_H_
