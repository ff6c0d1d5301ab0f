#ifndef VMKEEP_COMMON_FS_FILES_H_
#define VMKEEP_COMMON_FS_FILES_H_

#include "common/fs/fd.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

// Everything is named by an open folder and a path below it, its parts separated by '/', resolved
// by openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS), or on Windows part by part from open folder to
// open folder without reparse points: no link is followed and nothing outside the folder is
// reached, whatever lies there. Names and paths are UTF-8 on Windows; `mode` means nothing there: a
// new entry has the rights of its folder. Errors are those of errors.h.
namespace vmkeep::fs {

// A folder by its absolute path, which an administrator chose: links are followed here, and only
// here.
absl::StatusOr<Fd> OpenRoot(const std::string& path);
#ifndef _WIN32
// open(2) of a path below `dir`; `flags` without O_CLOEXEC, which is always set.
absl::StatusOr<Fd> OpenBeneath(const Fd& dir, const std::string& path, int flags, mode_t mode = 0);
#endif
// A regular file, to be read. FAILED_PRECONDITION, reason NOT_A_PLAIN_FILE, for anything else.
absl::StatusOr<Fd> OpenFile(const Fd& dir, const std::string& path);
// The same for a file that somebody else wrote, when it is to be flushed: Windows flushes for those
// only who may write.
absl::StatusOr<Fd> OpenFileToFlush(const Fd& dir, const std::string& path);
absl::StatusOr<Fd> OpenDir(const Fd& dir, const std::string& path);
// By its plain name; false when there is an entry of that name. Flushes nothing.
absl::StatusOr<bool> MakeDir(const Fd& dir, const std::string& name, mode_t mode);
// mkdir -p, and the last folder opened. New folders are flushed into their parents.
absl::StatusOr<Fd> MakeDirs(const Fd& dir, const std::string& path, mode_t mode);
// True when there is an entry of that name; a link counts, wherever it points.
absl::StatusOr<bool> Exists(const Fd& dir, const std::string& name);

enum class FileKind { kFile, kFolder, kLink, kBlockDevice, kOther };

struct FileInfo {
  FileKind kind = FileKind::kOther;
  int64_t bytes = 0;
  int64_t stored_bytes = 0;  // allocated; may be more than `bytes`
  absl::Time modified;
  // Which file it is: two opened files with the same two numbers are one.
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t device_number = 0;  // of a block device: its own
  int64_t names = 1;           // hard links
  // Whose it is; all 0 on Windows.
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t mode = 0;  // with the bits of its kind
};
absl::StatusOr<FileInfo> GetInfo(const Fd& fd, absl::string_view path);  // `path`: for the message
// By its plain name; a link itself, not what it leads to.
absl::StatusOr<FileInfo> GetInfoBeneath(const Fd& dir, const std::string& name);
// Something of the host's own by its absolute path; links are followed.
absl::StatusOr<FileInfo> GetHostInfo(const std::string& path);

// Reads at `offset` until `into` is full or the file ends: how many bytes. `path`: for the message.
absl::StatusOr<size_t> ReadAt(const Fd& fd, int64_t offset, std::span<std::byte> into,
                              absl::string_view path);
// A hint that what the system has in memory of these bytes is not needed, so that the next read
// comes from the storage. `bytes` 0: to the end.
void ForgetCached(const Fd& fd, int64_t offset, int64_t bytes);
// A hint that the system shall read what is asked for and no more, for a file whose readers are at
// several places at once.
void DoNotReadAhead(const Fd& fd);

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
// Both are plain names. A file replaces a file. A folder replaces an empty one, and on Windows
// nothing at all. Flushes nothing, except that Windows is asked to write the rename through.
absl::Status Rename(const Fd& from_dir, const std::string& from, const Fd& to_dir,
                    const std::string& to);
// Gives a file of the folder a second name. ALREADY_EXISTS when that is taken.
absl::Status Link(const Fd& dir, const std::string& from, const std::string& to);
// Removes a folder when nothing is in it; one with entries, or none at all, is success. Flushes
// nothing.
absl::Status RemoveIfEmpty(const Fd& dir, const std::string& name);
// Absent is success.
absl::Status Unlink(const Fd& dir, const std::string& name);

// Our folders hold files and, of an export, a few folders: what is nested deeper than this was not
// made by us, and RemoveTree() refuses it (TREE_TOO_DEEP).
inline constexpr int kMaxTreeDepth = 32;

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
// Of the file system of something of the host's own, by its absolute path.
absl::StatusOr<Space> GetHostSpace(const std::string& path);
// How long a block device of the host is. UNIMPLEMENTED where files are all that is looked at.
absl::StatusOr<int64_t> BlockDeviceBytes(const std::string& path);

// Whether a path needs no current folder: from "/", or on Windows from a drive's root or a share.
bool IsAbsolute(absl::string_view path);
// `below`, parts separated by '/', behind an absolute path; with the system's own separators.
std::string Join(absl::string_view path, absl::string_view below);

}  // namespace vmkeep::fs

#endif  // VMKEEP_COMMON_FS_FILES_H_
