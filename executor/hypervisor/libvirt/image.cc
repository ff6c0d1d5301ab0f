#include "executor/hypervisor/libvirt/image.h"

#include "common/fs/files.h"
#include "common/status_macros.h"

#include "absl/strings/str_cat.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace vmkeep::executor::libvirt {
namespace {

// QEMU itself gives up on chains of about 200 images; also the end of a chain that bites its tail.
constexpr size_t kMaxChain = 256;
// QEMU's own limit.
constexpr uint32_t kMaxL1Entries = (uint32_t{32} << 20) / 8;
// QEMU locks single bytes of an image, from 100 on, for its permissions (libvirt-facts.md, 5).
constexpr off_t kLockFirst = 100;
constexpr off_t kLockBytes = 200;

class File {
 public:
  explicit File(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  int fd() const { return fd_.get(); }
  absl::StatusOr<fs::FileInfo> Look(const std::string& path) const {
    return fs::GetInfo(fd_, path);
  }

 private:
  const fs::Fd fd_;
};

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
  VMKEEP_ASSIGN_OR_RETURN(const std::string bytes, ReadAt(fd, path, kQcow2HeaderArea, 0));
  return ParseQcow2Header(bytes);
}

// One image of a disk, as found.
struct Found {
  fs::FileInfo file;
  int64_t virtual_bytes = 0;
  int64_t data_bytes = 0;
  ImageLayer below;  // no file: nothing is
};

// One image at a time, from the top down; says what is wrong with which.
class Inspection {
 public:
  explicit Inspection(const std::string& target) : target_(target) {}

  absl::StatusOr<Found> Look(ImageLayer& layer) const {
    const auto refuse = [&](absl::string_view why) { return Refusal(layer.file, why); };
    const File file(layer.file);
    if (file.fd() < 0) {
      return refuse(absl::StrCat("cannot be opened (", FileError(errno, "open", "").message(),
                                 "): see that it is there and that the executor may read it"));
    }
    Found found;
    VMKEEP_ASSIGN_OR_RETURN(found.file, file.Look(layer.file));
    if (found.file.kind == fs::FileKind::kBlockDevice) {
      found.virtual_bytes = lseek(file.fd(), 0, SEEK_END);
      found.data_bytes = found.virtual_bytes;
    } else if (found.file.kind == fs::FileKind::kFile) {
      found.virtual_bytes = found.file.bytes;
      found.data_bytes = found.file.stored_bytes;
    } else {
      return refuse("is neither a file nor a block device: correct the disk's source");
    }
    if (layer.format != "qcow2") return found;
    const absl::StatusOr<Qcow2Header> header = ReadHeader(file.fd(), layer.file);
    if (!header.ok()) {
      return refuse(absl::StrCat("is declared as qcow2, but ", header.status().message(),
                                 ": correct the disk's driver type"));
    }
    found.virtual_bytes = header->virtual_bytes;
    VMKEEP_RETURN_IF_ERROR(CheckSound(layer, *header));
    VMKEEP_RETURN_IF_ERROR(FindDataFile(layer, *header, found));
    VMKEEP_ASSIGN_OR_RETURN(found.below, Below(layer, *header));
    return found;
  }

  absl::Status Refusal(const std::string& file, absl::string_view why_and_remedy) const {
    return absl::FailedPreconditionError(
        absl::StrCat("disk ", target_, " (", file, ") ", why_and_remedy));
  }

 private:
  absl::Status CheckSound(const ImageLayer& layer, const Qcow2Header& header) const {
    if (header.encrypted) {
      return Refusal(layer.file,
                     "is encrypted, and the overlay would not be: encryption inside of the guest "
                     "can be backed up");
    }
    if (header.corrupt) {
      return Refusal(layer.file,
                     "is marked corrupt by QEMU: stop the VM and repair it with `qemu-img check -r "
                     "all`");
    }
    return absl::OkStatus();
  }

  absl::Status FindDataFile(ImageLayer& layer, const Qcow2Header& header, Found& found) const {
    if (!header.external_data) return absl::OkStatus();
    // QEMU takes a relative one from its own working directory, which nobody else knows.
    if (header.data_file.empty() || header.data_file.front() != '/') {
      return Refusal(layer.file,
                     "keeps its data in a second file whose absolute path it does not record: "
                     "record it with `qemu-img amend -o data_file=PATH`");
    }
    struct stat data = {};
    if (stat(header.data_file.c_str(), &data) != 0) {
      return Refusal(layer.file, absl::StrCat("keeps its data in ", header.data_file,
                                              ", which cannot be found: put it back"));
    }
    layer.data_file = header.data_file;
    found.data_bytes += int64_t{data.st_blocks} * 512;
    return absl::OkStatus();
  }

  absl::StatusOr<ImageLayer> Below(const ImageLayer& layer, const Qcow2Header& header) const {
    if (header.backing_offset == 0) return ImageLayer{};
    const absl::StatusOr<std::string> name = ResolveImageName(layer.file, header.backing);
    if (!name.ok()) {
      return Refusal(layer.file,
                     absl::StrCat("stands on another image, and ", name.status().message(),
                                  ": name a file with `qemu-img rebase -u -b FILE -F "
                                  "FORMAT` while the VM is off"));
    }
    if (header.backing_format != "raw" && header.backing_format != "qcow2") {
      return Refusal(
          layer.file,
          absl::StrCat(
              "stands on ", *name, " and records ",
              header.backing_format.empty() ? "no format"
                                            : "the format '" + header.backing_format + "'",
              " of it, and a format is never guessed: only raw and qcow2 can be backed up; "
              "record it with `qemu-img rebase -u -b FILE -F FORMAT` while the VM is off"));
    }
    return ImageLayer{*name, header.backing_format, ""};
  }

  const std::string& target_;
};

void TakeIdentity(const fs::FileInfo& file, Disk& disk) {
  disk.SetIdentity(file);
  disk.uid = file.uid;
  disk.gid = file.gid;
  disk.mode = file.mode & 07777;
}

}  // namespace

absl::Status InspectImage(Disk& disk) {
  const Inspection inspection(disk.target);
  ImageLayer top{disk.source, disk.format, ""};
  VMKEEP_ASSIGN_OR_RETURN(Found found, inspection.Look(top));
  if (disk.block_device != (found.file.kind == fs::FileKind::kBlockDevice)) {
    return inspection.Refusal(
        disk.source, disk.block_device
                         ? "is declared as a block device and is a file: use type='file'"
                         : "is declared as a file and is a block device: use type='block'");
  }
  TakeIdentity(found.file, disk);
  disk.virtual_bytes = found.virtual_bytes;
  disk.data_bytes = found.data_bytes;
  disk.data_file = top.data_file;
  disk.backing.clear();
  while (!found.below.file.empty()) {
    ImageLayer layer = std::move(found.below);
    if (disk.backing.size() == kMaxChain) {
      return inspection.Refusal(disk.source,
                                "has a chain without an end: look at it with "
                                "`qemu-img info --backing-chain`");
    }
    VMKEEP_ASSIGN_OR_RETURN(found, inspection.Look(layer));
    disk.data_bytes += found.data_bytes;
    disk.backing.push_back(std::move(layer));
  }
  // A part of what is below may be hidden by what is above.
  disk.data_bytes = disk.flat() ? std::min(disk.data_bytes, disk.virtual_bytes) : disk.data_bytes;
  return absl::OkStatus();
}

absl::StatusOr<Qcow2Header> ReadQcow2Header(const std::string& file) {
  const File opened(file);
  if (opened.fd() < 0) return FileError(errno, "open", file);
  return ReadHeader(opened.fd(), file);
}

absl::StatusOr<bool> HoldsNothing(const std::string& qcow2_file) {
  const File file(qcow2_file);
  if (file.fd() < 0) return FileError(errno, "open", qcow2_file);
  VMKEEP_ASSIGN_OR_RETURN(const Qcow2Header header, ReadHeader(file.fd(), qcow2_file));
  if (header.l1_entries > kMaxL1Entries) {
    return absl::InvalidArgumentError("its header has an impossible table");
  }
  // Every cluster with data hangs on an entry of this table.
  const size_t bytes = size_t{header.l1_entries} * 8;
  VMKEEP_ASSIGN_OR_RETURN(const std::string table,
                          ReadAt(file.fd(), qcow2_file, bytes, header.l1_offset));
  if (table.size() != bytes) return absl::InvalidArgumentError("its table is cut off");
  return std::all_of(table.begin(), table.end(), [](char byte) { return byte == '\0'; });
}

absl::Status FlushImage(const std::string& file) {
  const File opened(file);
  if (opened.fd() < 0) return FileError(errno, "open", file);
  if (fsync(opened.fd()) == 0) return absl::OkStatus();
  return absl::DataLossError(FileError(errno, "flush", file).message());
}

bool SameFile(const std::string& one, const std::string& other) {
  if (one == other) return true;
  struct stat first = {};
  struct stat second = {};
  return stat(one.c_str(), &first) == 0 && stat(other.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
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
