#include "tests/faultfs/passthrough.h"

#include "common/clock.h"

#include "absl/time/time.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stop_token>

namespace vmkeep::faultfs {
namespace {

constexpr absl::Duration kLookEvery = absl::Milliseconds(20);

Passthrough& Self() { return *static_cast<Passthrough*>(fuse_get_context()->private_data); }

// Relative to the folder behind.
const char* Below(const char* path) { return path[1] == '\0' ? "." : path + 1; }

// As FUSE wants it: -errno for -1.
template <typename T>
int Result(T got) {
  return got < 0 ? -errno : static_cast<int>(got);
}

// Of an open file: it may have no name any more.
std::string NameOf(const char* path) { return path == nullptr ? "(unlinked)" : path; }

bool Quiet(const std::string& op) {
  return op == "read" || op == "getattr" || op == "readdir" || op == "statfs";
}

int GetAttr(const char* path, struct stat* found, fuse_file_info* info) {
  return Self().Do("getattr", NameOf(path), [&] {
    if (path == nullptr) return Result(fstat(static_cast<int>(info->fh), found));
    return Result(fstatat(Self().root(), Below(path), found, AT_SYMLINK_NOFOLLOW));
  });
}

int ReadDir(const char* path, void* buffer, fuse_fill_dir_t fill, off_t /*offset*/,
            fuse_file_info* /*info*/, fuse_readdir_flags /*flags*/) {
  return Self().Do("readdir", NameOf(path), [&] {
    if (path == nullptr) return -ENOENT;
    const int fd = openat(Self().root(), Below(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* const folder = fd < 0 ? nullptr : fdopendir(fd);
    if (folder == nullptr) return -errno;
    while (const dirent* const entry = readdir(folder)) {
      fill(buffer, entry->d_name, nullptr, 0, fuse_fill_dir_flags{});
    }
    closedir(folder);
    return 0;
  });
}

int OpenWith(const char* op, const char* path, int flags, mode_t mode, fuse_file_info* info) {
  return Self().Do(op, path, [&] {
    // The buffers of FUSE are not aligned for O_DIRECT.
    const int fd = openat(Self().root(), Below(path), (flags & ~O_DIRECT) | O_CLOEXEC, mode);
    if (fd < 0) return -errno;
    info->fh = static_cast<uint64_t>(fd);
    return 0;
  });
}

int Open(const char* path, fuse_file_info* info) {
  return OpenWith("open", path, info->flags, 0, info);
}

int Create(const char* path, mode_t mode, fuse_file_info* info) {
  return OpenWith("create", path, info->flags | O_CREAT, mode, info);
}

int Read(const char* path, char* buffer, size_t size, off_t offset, fuse_file_info* info) {
  return Self().Do(
      "read", NameOf(path),
      [&] { return Result(pread(static_cast<int>(info->fh), buffer, size, offset)); },
      offset + static_cast<int64_t>(size));
}

int Write(const char* path, const char* bytes, size_t size, off_t offset, fuse_file_info* info) {
  return Self().Do(
      "write", NameOf(path),
      [&] { return Result(pwrite(static_cast<int>(info->fh), bytes, size, offset)); },
      offset + static_cast<int64_t>(size));
}

int Fsync(const char* path, int /*data_only*/, fuse_file_info* info) {
  return Self().Do("fsync", NameOf(path),
                   [&] { return Result(fsync(static_cast<int>(info->fh))); });
}

int FsyncDir(const char* path, int /*data_only*/, fuse_file_info* /*info*/) {
  return Self().Do("fsync", NameOf(path), [] { return 0; });
}

int Flush(const char* path, fuse_file_info* info) {
  return Self().Do("flush", NameOf(path),
                   [&] { return Result(close(dup(static_cast<int>(info->fh)))); });
}

int Release(const char* path, fuse_file_info* info) {
  return Self().Do("release", NameOf(path),
                   [&] { return Result(close(static_cast<int>(info->fh))); });
}

int Rename(const char* from, const char* to, unsigned flags) {
  if (flags != 0) return -EINVAL;
  return Self().Do("rename", std::string(from) + "->" + to, [&] {
    return Result(renameat(Self().root(), Below(from), Self().root(), Below(to)));
  });
}

int MkDir(const char* path, mode_t mode) {
  return Self().Do("mkdir", path,
                   [&] { return Result(mkdirat(Self().root(), Below(path), mode)); });
}

int Unlink(const char* path) {
  return Self().Do("unlink", path, [&] { return Result(unlinkat(Self().root(), Below(path), 0)); });
}

int RmDir(const char* path) {
  return Self().Do("rmdir", path,
                   [&] { return Result(unlinkat(Self().root(), Below(path), AT_REMOVEDIR)); });
}

int Link(const char* from, const char* to) {
  return Self().Do("link", to, [&] {
    return Result(linkat(Self().root(), Below(from), Self().root(), Below(to), 0));
  });
}

int Truncate(const char* path, off_t length, fuse_file_info* info) {
  return Self().Do("truncate", NameOf(path), [&] {
    if (info != nullptr) return Result(ftruncate(static_cast<int>(info->fh), length));
    const int fd = openat(Self().root(), Below(path), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    const int result = Result(ftruncate(fd, length));
    close(fd);
    return result;
  });
}

int ChMod(const char* path, mode_t mode, fuse_file_info* info) {
  return Self().Do("chmod", NameOf(path), [&] {
    if (path == nullptr) return Result(fchmod(static_cast<int>(info->fh), mode));
    return Result(fchmodat(Self().root(), Below(path), mode, 0));
  });
}

int ChOwn(const char* path, uid_t uid, gid_t gid, fuse_file_info* /*info*/) {
  return Self().Do("chown", NameOf(path), [&] {
    if (path == nullptr) return -ENOENT;
    return Result(fchownat(Self().root(), Below(path), uid, gid, AT_SYMLINK_NOFOLLOW));
  });
}

int UTimens(const char* path, const timespec times[2], fuse_file_info* /*info*/) {
  return Self().Do("utimens", NameOf(path), [&] {
    if (path == nullptr) return -ENOENT;
    return Result(utimensat(Self().root(), Below(path), times, AT_SYMLINK_NOFOLLOW));
  });
}

int StatFs(const char* path, struct statvfs* found) {
  return Self().Do("statfs", path, [&] { return Result(fstatvfs(Self().root(), found)); });
}

// Each look at a name or a size comes here: the kernel remembers nothing.
void* Init(fuse_conn_info* /*connection*/, fuse_config* config) {
  config->entry_timeout = 0;
  config->attr_timeout = 0;
  config->negative_timeout = 0;
  config->use_ino = 1;
  config->hard_remove = 1;  // an unlink is one, also of a file that is open
  return fuse_get_context()->private_data;
}

}  // namespace

int Passthrough::Do(const char* op, const std::string& path, const std::function<int()>& call,
                    int64_t end) {
  const Rule rule = control_.Find(op, path, end);
  const bool wait = rule.fault != Rule::Fault::kError;
  int result = 0;
  const bool fault = wait || rule.err != 0;
  if (fault && rule.after) result = call();
  if (wait) {
    const bool stuck = rule.fault == Rule::Fault::kStuck;
    control_.Log(op, path, stuck ? "stuck" : "hang");
    while (true) {
      const Rule now = control_.Find(op, path, end);
      if (now.fault != rule.fault || (!stuck && fuse_interrupted() != 0)) break;
      RealClock().WaitFor(kLookEvery, std::stop_token());
    }
    if (!stuck && fuse_interrupted() != 0) result = -EINTR;
  }
  if (!wait && rule.err != 0) result = -rule.err;
  if ((!fault || wait) && !rule.after && result == 0) result = call();
  if (fault || !Quiet(op)) control_.Log(op, path, result < 0 ? ErrnoName(-result) : "ok");
  return result;
}

const fuse_operations& Passthrough::Operations() {
  static const fuse_operations kOperations = [] {
    fuse_operations operations{};
    operations.getattr = GetAttr;
    operations.mkdir = MkDir;
    operations.unlink = Unlink;
    operations.rmdir = RmDir;
    operations.rename = Rename;
    operations.link = Link;
    operations.chmod = ChMod;
    operations.chown = ChOwn;
    operations.truncate = Truncate;
    operations.open = Open;
    operations.read = Read;
    operations.write = Write;
    operations.statfs = StatFs;
    operations.flush = Flush;
    operations.release = Release;
    operations.fsync = Fsync;
    operations.readdir = ReadDir;
    operations.fsyncdir = FsyncDir;
    operations.init = Init;
    operations.create = Create;
    operations.utimens = UTimens;
    return operations;
  }();
  return kOperations;
}

}  // namespace vmkeep::faultfs
