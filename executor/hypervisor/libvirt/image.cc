#include "executor/hypervisor/libvirt/image.h"

#include "common/status_macros.h"

#include "absl/strings/str_cat.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

namespace vmkeep::executor::libvirt {
namespace {

constexpr absl::string_view kMagic("QFI\xFB", 4);
constexpr uint64_t kIncompatibleCorrupt = uint64_t{1} << 1;
constexpr uint64_t kIncompatibleDataFile = uint64_t{1} << 2;
// QEMU's own limit of a backing file's name.
constexpr uint32_t kMaxBackingBytes = 1023;
// QEMU locks single bytes of an image, from 100 on, for its permissions (libvirt-facts.md, 5).
constexpr off_t kLockFirst = 100;
constexpr off_t kLockBytes = 200;

class File {
 public:
  explicit File(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

uint64_t BigEndian(absl::string_view bytes, size_t at, size_t width) {
  uint64_t value = 0;
  for (size_t i = 0; i < width; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

absl::Status FileError(int error, absl::string_view doing, absl::string_view path) {
  return absl::ErrnoToStatus(error, absl::StrCat(doing, " ", path));
}

// Up to `count` bytes: fewer at the end of the file.
absl::StatusOr<std::string> ReadAt(int fd, const std::string& path, size_t count, uint64_t offset) {
  std::string bytes(count, '\0');
  size_t have = 0;
  while (have < count) {
    const ssize_t got =
        pread(fd, bytes.data() + have, count - have, static_cast<off_t>(offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileError(errno, "read", path);
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  bytes.resize(have);
  return bytes;
}

absl::StatusOr<Qcow2Header> ReadHeader(int fd, const std::string& path) {
  VMKEEP_ASSIGN_OR_RETURN(const std::string bytes, ReadAt(fd, path, kQcow2HeaderBytes, 0));
  return ParseQcow2Header(bytes);
}

absl::Status CheckSelfContained(const Disk& disk, const Qcow2Header& header) {
  const auto refuse = [&](absl::string_view why_and_remedy) {
    return absl::FailedPreconditionError(
        absl::StrCat("disk ", disk.target, " (", disk.source, ") ", why_and_remedy));
  };
  if (header.backing_offset != 0) {
    return refuse("has a backing file: merge its chain with `virsh blockpull`, then try again");
  }
  if (header.external_data) {
    return refuse(
        "keeps its data in a second file: convert it with `qemu-img convert -O qcow2` to a new "
        "image");
  }
  if (header.encrypted) {
    return refuse(
        "is encrypted, and the overlay would not be: encryption inside of the guest can be backed "
        "up");
  }
  if (header.corrupt) {
    return refuse(
        "is marked corrupt by QEMU: stop the VM and repair it with `qemu-img check -r all`");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Qcow2Header> ParseQcow2Header(absl::string_view bytes) {
  // Version 2 ends at byte 72; its images are smaller than 104 bytes only when they are damaged.
  if (bytes.size() < kQcow2HeaderBytes || bytes.substr(0, kMagic.size()) != kMagic) {
    return absl::InvalidArgumentError("it is no qcow2 image");
  }
  Qcow2Header header;
  header.version = static_cast<uint32_t>(BigEndian(bytes, 4, 4));
  if (header.version != 2 && header.version != 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("qcow2 version ", header.version, " is not known"));
  }
  header.backing_offset = BigEndian(bytes, 8, 8);
  header.backing_bytes = static_cast<uint32_t>(BigEndian(bytes, 16, 4));
  const uint64_t size = BigEndian(bytes, 24, 8);
  if (size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return absl::InvalidArgumentError("the qcow2 header has an impossible size");
  }
  header.virtual_bytes = static_cast<int64_t>(size);
  header.encrypted = BigEndian(bytes, 32, 4) != 0;
  // Version 2 has no feature bits: other fields may follow at byte 72.
  const uint64_t incompatible = header.version >= 3 ? BigEndian(bytes, 72, 8) : 0;
  header.corrupt = (incompatible & kIncompatibleCorrupt) != 0;
  header.external_data = (incompatible & kIncompatibleDataFile) != 0;
  return header;
}

absl::Status InspectImage(Disk& disk) {
  const auto refuse = [&](absl::string_view why_and_remedy) {
    return absl::FailedPreconditionError(
        absl::StrCat("disk ", disk.target, " (", disk.source, ") ", why_and_remedy));
  };
  const File file(disk.source);
  if (file.fd() < 0) {
    return refuse(absl::StrCat("cannot be opened (", FileError(errno, "open", "").message(),
                               "): see that it is there and that the executor may read it"));
  }
  struct stat found = {};
  if (fstat(file.fd(), &found) != 0) return FileError(errno, "stat", disk.source);
  if (!S_ISREG(found.st_mode)) {
    return refuse("is no regular file: only file disks can be backed up by this version");
  }
  disk.dev = found.st_dev;
  disk.ino = found.st_ino;
  disk.uid = found.st_uid;
  disk.gid = found.st_gid;
  disk.mode = found.st_mode & 07777;
  disk.data_bytes = int64_t{found.st_blocks} * 512;
  disk.virtual_bytes = found.st_size;
  if (disk.format != "qcow2") return absl::OkStatus();
  const absl::StatusOr<Qcow2Header> header = ReadHeader(file.fd(), disk.source);
  if (!header.ok()) {
    return refuse(absl::StrCat("is declared as qcow2, but ", header.status().message(),
                               ": correct the disk's driver type"));
  }
  disk.virtual_bytes = header->virtual_bytes;
  return CheckSelfContained(disk, *header);
}

absl::StatusOr<std::string> BackingName(const std::string& qcow2_file) {
  const File file(qcow2_file);
  if (file.fd() < 0) return FileError(errno, "open", qcow2_file);
  VMKEEP_ASSIGN_OR_RETURN(const Qcow2Header header, ReadHeader(file.fd(), qcow2_file));
  if (header.backing_offset == 0) return std::string();
  if (header.backing_bytes > kMaxBackingBytes) {
    return absl::InvalidArgumentError("the qcow2 header has an impossible backing file name");
  }
  VMKEEP_ASSIGN_OR_RETURN(
      std::string name, ReadAt(file.fd(), qcow2_file, header.backing_bytes, header.backing_offset));
  if (name.size() != header.backing_bytes) {
    return absl::InvalidArgumentError("the qcow2 header's backing file name is cut off");
  }
  return name;
}

absl::StatusOr<bool> InUse(const std::string& file) {
  const File opened(file);
  if (opened.fd() < 0) return FileError(errno, "open", file);
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = kLockFirst;
  lock.l_len = kLockBytes;
  if (fcntl(opened.fd(), F_OFD_GETLK, &lock) != 0) return FileError(errno, "lock query of", file);
  return lock.l_type != F_UNLCK;
}

}  // namespace vmkeep::executor::libvirt
