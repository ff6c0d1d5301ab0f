#include "common/fs/errors.h"
#include "common/fs/files.h"
#include "common/fs/names.h"
#include "common/status_macros.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace vmkeep::fs {
namespace {

absl::StatusOr<Fd> OpenWith(int dir, const std::string& path, int flags, mode_t mode,
                            uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.mode = (flags & O_CREAT) != 0 ? mode : 0;
  how.resolve = resolve;
  // EAGAIN: somebody renamed a folder on the way, so the kernel could not prove that the path stays
  // below `dir`.
  for (int tries = 0; tries < 100; ++tries) {
    const auto fd = static_cast<int>(syscall(SYS_openat2, dir, path.c_str(), &how, sizeof(how)));
    if (fd >= 0) return Fd(fd);
    if (errno != EAGAIN && errno != EINTR) break;
  }
  return error::FromErrno(errno, "cannot open", path);
}

// The calls that know no RESOLVE_BENEATH take plain names only.
absl::Status CheckPlain(const std::string& name) {
  return IsPlainPosixName(name) ? absl::OkStatus()
                                : error::FromErrno(EXDEV, "will not touch", name);
}

FileKind KindOf(mode_t mode) {
  if (S_ISREG(mode)) return FileKind::kFile;
  if (S_ISDIR(mode)) return FileKind::kFolder;
  if (S_ISLNK(mode)) return FileKind::kLink;
  return S_ISBLK(mode) ? FileKind::kBlockDevice : FileKind::kOther;
}

FileInfo ToInfo(const struct stat& found) {
  return {.kind = KindOf(found.st_mode),
          .bytes = found.st_size,
          .stored_bytes = int64_t{found.st_blocks} * 512,
          .modified = absl::TimeFromTimespec(found.st_mtim),
          .device = found.st_dev,
          .inode = found.st_ino,
          .device_number = found.st_rdev,
          .names = static_cast<int64_t>(found.st_nlink),
          .uid = found.st_uid,
          .gid = found.st_gid,
          .mode = found.st_mode};
}

Space ToSpace(const struct statvfs& found) {
  return {.total_bytes = static_cast<int64_t>(found.f_blocks * found.f_frsize),
          .free_bytes = static_cast<int64_t>(found.f_bavail * found.f_frsize)};
}

}  // namespace

absl::StatusOr<Fd> OpenRoot(const std::string& path) {
  Fd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return error::FromErrno(errno, "cannot open the folder", path);
  return fd;
}

absl::StatusOr<Fd> OpenBeneath(const Fd& dir, const std::string& path, int flags, mode_t mode) {
  return OpenWith(dir.get(), path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

absl::StatusOr<Fd> OpenFile(const Fd& dir, const std::string& path) {
  // O_NONBLOCK: opening a pipe would wait for its writer.
  VMKEEP_ASSIGN_OR_RETURN(Fd file, OpenBeneath(dir, path, O_RDONLY | O_NONBLOCK));
  VMKEEP_ASSIGN_OR_RETURN(const FileInfo found, GetInfo(file, path));
  if (found.kind != FileKind::kFile) return error::NotPlain(path);
  return file;
}

absl::StatusOr<Fd> OpenDir(const Fd& dir, const std::string& path) {
  return OpenBeneath(dir, path, O_RDONLY | O_DIRECTORY);
}

absl::StatusOr<Fd> OpenFileToFlush(const Fd& dir, const std::string& path) {
  return OpenFile(dir, path);
}

absl::StatusOr<bool> MakeDir(const Fd& dir, const std::string& name, mode_t mode) {
  VMKEEP_RETURN_IF_ERROR(CheckPlain(name));
  if (mkdirat(dir.get(), name.c_str(), mode) == 0) return true;
  if (errno == EEXIST) return false;
  return error::FromErrno(errno, "cannot make the folder", name);
}

absl::StatusOr<FileInfo> GetInfo(const Fd& fd, absl::string_view path) {
  struct stat found{};
  if (fstat(fd.get(), &found) != 0) return error::FromErrno(errno, "cannot look at", path);
  return ToInfo(found);
}

absl::StatusOr<FileInfo> GetInfoBeneath(const Fd& dir, const std::string& name) {
  VMKEEP_RETURN_IF_ERROR(CheckPlain(name));
  struct stat found{};
  if (fstatat(dir.get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0)
    return error::FromErrno(errno, "cannot look at", name);
  return ToInfo(found);
}

absl::StatusOr<FileInfo> GetHostInfo(const std::string& path) {
  struct stat found{};
  if (stat(path.c_str(), &found) != 0) return error::FromErrno(errno, "cannot look at", path);
  return ToInfo(found);
}

absl::StatusOr<size_t> ReadAt(const Fd& fd, int64_t offset, std::span<std::byte> into,
                              absl::string_view path) {
  size_t done = 0;
  while (done < into.size()) {
    const ssize_t got = pread(fd.get(), into.data() + done, into.size() - done,
                              offset + static_cast<int64_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return error::FromErrno(errno, "cannot read", path);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

void ForgetCached(const Fd& fd, int64_t offset, int64_t bytes) {
  (void)posix_fadvise(fd.get(), offset, bytes, POSIX_FADV_DONTNEED);
}

void DoNotReadAhead(const Fd& fd) { (void)posix_fadvise(fd.get(), 0, 0, POSIX_FADV_RANDOM); }

absl::Status Sync(const Fd& fd, absl::string_view path) {
  if (fsync(fd.get()) != 0) return error::FromErrno(errno, "cannot flush", path);
  return absl::OkStatus();
}

absl::Status Rename(const Fd& from_dir, const std::string& from, const Fd& to_dir,
                    const std::string& to) {
  VMKEEP_RETURN_IF_ERROR(CheckPlain(from));
  VMKEEP_RETURN_IF_ERROR(CheckPlain(to));
  if (renameat(from_dir.get(), from.c_str(), to_dir.get(), to.c_str()) != 0) {
    return error::FromErrno(errno, absl::StrCat("cannot rename ", from, " to"), to);
  }
  return absl::OkStatus();
}

absl::Status Link(const Fd& dir, const std::string& from, const std::string& to) {
  VMKEEP_RETURN_IF_ERROR(CheckPlain(from));
  VMKEEP_RETURN_IF_ERROR(CheckPlain(to));
  if (linkat(dir.get(), from.c_str(), dir.get(), to.c_str(), 0) != 0)
    return error::FromErrno(errno, absl::StrCat("cannot link ", from, " to"), to);
  return absl::OkStatus();
}

absl::Status RemoveIfEmpty(const Fd& dir, const std::string& name) {
  VMKEEP_RETURN_IF_ERROR(CheckPlain(name));
  if (unlinkat(dir.get(), name.c_str(), AT_REMOVEDIR) == 0) return absl::OkStatus();
  // POSIX allows EEXIST for a folder that is not empty.
  if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOENT) return absl::OkStatus();
  return error::FromErrno(errno, "cannot remove", name);
}

absl::Status Unlink(const Fd& dir, const std::string& name) {
  VMKEEP_RETURN_IF_ERROR(CheckPlain(name));
  if (unlinkat(dir.get(), name.c_str(), 0) != 0 && errno != ENOENT) {
    return error::FromErrno(errno, "cannot remove", name);
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> IsMountPoint(const Fd& dir) {
  struct statx found{};
  if (statx(dir.get(), "", AT_EMPTY_PATH, 0, &found) != 0)
    return error::FromErrno(errno, "cannot look at", "the folder");
  if ((found.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0) {
    return (found.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  }
  // A kernel before 5.8: another device than the parent's, which misses bind mounts of one file
  // system.
  struct stat self{};
  struct stat parent{};
  if (fstat(dir.get(), &self) != 0 || fstatat(dir.get(), "..", &parent, 0) != 0) {
    return error::FromErrno(errno, "cannot look at", "the folder");
  }
  return self.st_dev != parent.st_dev || self.st_ino == parent.st_ino;
}

absl::StatusOr<Space> GetSpace(const Fd& dir) {
  struct statvfs found{};
  if (fstatvfs(dir.get(), &found) != 0)
    return error::FromErrno(errno, "cannot ask for the free space of", "the folder");
  return ToSpace(found);
}

absl::StatusOr<Space> GetHostSpace(const std::string& path) {
  struct statvfs found{};
  if (statvfs(path.c_str(), &found) != 0)
    return error::FromErrno(errno, "cannot ask for the free space of", path);
  return ToSpace(found);
}

absl::StatusOr<int64_t> BlockDeviceBytes(const std::string& path) {
  // O_NONBLOCK: opening a pipe would wait for its writer.
  const Fd device(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!device.valid()) return error::FromErrno(errno, "cannot open", path);
  uint64_t bytes = 0;
  if (ioctl(device.get(), BLKGETSIZE64, &bytes) != 0)
    return error::FromErrno(errno, "cannot ask for the size of", path);
  return static_cast<int64_t>(bytes);
}

bool IsAbsolute(absl::string_view path) { return absl::StartsWith(path, "/"); }

std::string Join(absl::string_view path, absl::string_view below) {
  return absl::StrCat(path, absl::EndsWith(path, "/") ? "" : "/", below);
}

}  // namespace vmkeep::fs
