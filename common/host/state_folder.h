#ifndef VMKEEP_COMMON_HOST_STATE_FOLDER_H_
#define VMKEEP_COMMON_HOST_STATE_FOLDER_H_

#include "common/fs/fd.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <cstdint>
#include <string>

// The folder where a daemon keeps what it must not forget, on a local disk. Nobody else's: what is
// new is made for its owner alone (mode 0700 and 0600; on Windows for the owner, SYSTEM and
// Administrators, nothing inherited from the folder above).
namespace vmkeep::host {

// mkdir -p. An existing folder is taken as it is.
absl::Status MakeStateFolder(const std::string& path);

// The folder's lock, held while the Fd lives, however the process ends. FAILED_PRECONDITION, reason
// STATE_DIR_IN_USE, when another process has it.
absl::StatusOr<fs::Fd> LockStateFolder(const std::string& path);

// A file that is there afterwards, and closed to others also when it was there before: what SQLite
// makes beside it takes after it.
absl::Status MakePrivateFile(const std::string& path);

// Makes or replaces a file of `bytes` whose disk space is allocated. On an error there is none.
absl::Status AllocateFile(const std::string& path, int64_t bytes);

}  // namespace vmkeep::host

#endif  // VMKEEP_COMMON_HOST_STATE_FOLDER_H_
