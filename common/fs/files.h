#ifndef VMKEEP_COMMON_FS_FILES_H_
#define VMKEEP_COMMON_FS_FILES_H_

#include "common/fs/fd.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

// Everything is named by an open folder and a path below it, resolved by openat2(RESOLVE_BENEATH |
// RESOLVE_NO_SYMLINKS): no link is followed and nothing outside the folder is reached, whatever
// lies there. Errors are those of errors.h.
namespace vmkeep::fs {

// A folder by its absolute path, which an administrator chose: links are followed here, and only
// here.
absl::StatusOr<Fd> OpenRoot(const std::string& path);
// open(2) of a path below `dir`; `flags` without O_CLOEXEC, which is always set.
absl::StatusOr<Fd> OpenBeneath(const Fd& dir, const std::string& path, int flags, mode_t mode = 0);
absl::StatusOr<Fd> OpenDir(const Fd& dir, const std::string& path);
// mkdir -p, and the last folder opened. New folders are flushed into their parents.
absl::StatusOr<Fd> MakeDirs(const Fd& dir, const std::string& path, mode_t mode);
// True when there is an entry of that name; a link counts, wherever it points.
absl::StatusOr<bool> Exists(const Fd& dir, const std::string& name);

// The names in an open folder, without "." and "..", in no order.
absl::StatusOr<std::vector<std::string>> List(const Fd& dir);

// The whole of a regular file. RESOURCE_EXHAUSTED, reason FILE_TOO_LONG, past `max_bytes`;
// FAILED_PRECONDITION, reason NOT_A_PLAIN_FILE, for anything else (a pipe would block).
absl::StatusOr<std::string> ReadFile(const Fd& dir, const std::string& name, size_t max_bytes);
// Makes or replaces a file in one step: written beside it under "<name>.new", flushed, renamed, the
// folder flushed. On an error the old file is still there. `name` is a plain name.
absl::Status WriteFile(const Fd& dir, const std::string& name, absl::string_view content,
                       mode_t mode);

// fsync of a folder (its names) or of a file. Never call it again after a failure: a second one may
// succeed with the data gone. `path` is for the message.
absl::Status Sync(const Fd& fd, absl::string_view path);
// Both are plain names. Replaces a file or an empty folder; flushes nothing.
absl::Status Rename(const Fd& from_dir, const std::string& from, const Fd& to_dir,
                    const std::string& to);
// Removes a folder when nothing is in it; one with entries, or none at all, is success. Flushes
// nothing.
absl::Status RemoveIfEmpty(const Fd& dir, const std::string& name);
// Absent is success.
absl::Status Unlink(const Fd& dir, const std::string& name);

// Removes the entry and all below it, by descriptors: links are removed, never followed; another
// file system mounted inside is not entered; a read-only folder of this user's is made writable.
// Repeated until the folder is empty, because NFS leaves .nfs* names behind for files that are
// open. False when there was no such entry. UNAVAILABLE, reason FOLDER_NOT_EMPTIED, when something
// stays; can be repeated. Flushes nothing.
absl::StatusOr<bool> RemoveTree(const Fd& dir, const std::string& name);

// True when the open folder is the root of a mount (a bind mount counts).
absl::StatusOr<bool> IsMountPoint(const Fd& dir);

struct Space {
  int64_t total_bytes = 0;
  int64_t free_bytes = 0;  // for us: without what is reserved for root
};
absl::StatusOr<Space> GetSpace(const Fd& dir);

}  // namespace vmkeep::fs

#endif  // VMKEEP_COMMON_FS_FILES_H_
