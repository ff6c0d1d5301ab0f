#include "common/fs/errors.h"
#include "common/fs/files.h"
#include "common/status_macros.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::fs {
namespace {

struct CloseDir {
  void operator()(DIR* dir) const noexcept { (void)closedir(dir); }
};
using DirHandle = std::unique_ptr<DIR, CloseDir>;

absl::StatusOr<DirHandle> ReadDir(Fd fd, const char* name) {
  DirHandle handle(fdopendir(fd.get()));
  if (handle == nullptr) return error::FromErrno(errno, "cannot read", name);
  fd.Release();
  return handle;
}

bool IsDots(const dirent& entry) {
  return std::strcmp(entry.d_name, ".") == 0 || std::strcmp(entry.d_name, "..") == 0;
}

// One folder to empty, without entering another file system that is mounted inside.
absl::StatusOr<DirHandle> OpenForRemoval(int dir, const char* name) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  Fd fd(static_cast<int>(syscall(SYS_openat2, dir, name, &how, sizeof(how))));
  if (!fd.valid()) return error::FromErrno(errno, "cannot open", name);
  return ReadDir(std::move(fd), name);
}

absl::Status RemoveEntry(int dir, const char* name, int depth);

// True when a whole pass over the folder found an entry that it could remove.
struct Pass {
  bool removed_some = false;
  absl::Status first_error;
};

Pass RemoveEntries(DIR* dir, int depth) {
  Pass pass;
  rewinddir(dir);
  while (const dirent* entry = readdir(dir)) {
    if (IsDots(*entry)) continue;
    const absl::Status status = RemoveEntry(dirfd(dir), entry->d_name, depth);
    if (status.ok()) pass.removed_some = true;
    pass.first_error.Update(status);
  }
  return pass;
}

absl::Status RemoveFolder(int parent, const char* name, int depth) {
  if (depth > kMaxTreeDepth) return error::TooDeep(name);
  VMKEEP_ASSIGN_OR_RETURN(const DirHandle dir, OpenForRemoval(parent, name));
  // Passes, because removing while reading may skip entries, and because NFS renames a file that is
  // open somewhere on this host to .nfs* instead of removing it. Each pass but the last removes
  // something or makes the folder writable, once, so they end.
  bool made_writable = false;
  while (true) {
    const Pass pass = RemoveEntries(dir.get(), depth);
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return absl::OkStatus();
    const int err = errno;
    if (pass.removed_some && (err == ENOTEMPTY || err == EEXIST)) continue;
    // A read-only folder of our own: a hypervisor's export may have some.
    if (error::Errno(pass.first_error) == EACCES && !std::exchange(made_writable, true) &&
        fchmod(dirfd(dir.get()), 0700) == 0)
      continue;
    VMKEEP_RETURN_IF_ERROR(pass.first_error);
    if (err == ENOTEMPTY || err == EEXIST || err == EBUSY) return error::NotEmptied(name);
    return error::FromErrno(err, "cannot remove the folder", name);
  }
}

absl::Status RemoveEntry(int dir, const char* name, int depth) {
  if (unlinkat(dir, name, 0) == 0 || errno == ENOENT) return absl::OkStatus();
  // Linux answers EISDIR for a folder, POSIX EPERM.
  const int err = errno;
  if (err == EBUSY) return error::NotEmptied(name);
  if (err != EISDIR && err != EPERM) return error::FromErrno(err, "cannot remove", name);
  const absl::Status status = RemoveFolder(dir, name, depth + 1);
  // EPERM of a file that may not be removed (immutable): it is no folder, and that is the better
  // message.
  return error::Errno(status) == ENOTDIR ? error::FromErrno(err, "cannot remove", name) : status;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> List(const Fd& dir) {
  VMKEEP_ASSIGN_OR_RETURN(Fd again, OpenDir(dir, "."));
  VMKEEP_ASSIGN_OR_RETURN(const DirHandle handle, ReadDir(std::move(again), "the folder"));
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = readdir(handle.get())) {
    if (!IsDots(*entry)) names.emplace_back(entry->d_name);
    errno = 0;
  }
  if (errno != 0) return error::FromErrno(errno, "cannot read", "the folder");
  return names;
}

absl::StatusOr<bool> RemoveTree(const Fd& dir, const std::string& name) {
  VMKEEP_ASSIGN_OR_RETURN(const bool existed, Exists(dir, name));
  if (!existed) return false;
  VMKEEP_RETURN_IF_ERROR(RemoveEntry(dir.get(), name.c_str(), 0));
  return true;
}

}  // namespace vmkeep::fs
