#include "executor/worker/host_source.h"

#include "common/status_macros.h"
#include "executor/worker/errors.h"

#include "absl/strings/str_cat.h"
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>

namespace vmkeep::worker {
namespace {

// The kernel cuts a request to read ahead to the device's largest transfer, so it is made in small
// ones.
constexpr int64_t kPrefetchStep = int64_t{512} << 10;
// Offsets, lengths and addresses of direct reads are multiples of this.
constexpr size_t kDirectAlign = 4096;

// By its descriptor, so that it is the same file whatever its path names by now. Some file systems
// refuse to open it so, some devices want more than our alignment and refuse the first read.
fs::Fd OpenDirect(const HostImage& image) {
  const std::string same = absl::StrCat("/proc/self/fd/", image.fd());
  fs::Fd fd(open(same.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT));
  alignas(kDirectAlign) std::array<std::byte, kDirectAlign> probe{};
  if (pread(fd.get(), probe.data(), probe.size(), 0) < 0 && errno == EINVAL) return fs::Fd();
  return fd;
}

bool Aligned(int64_t offset, std::span<const std::byte> into) {
  return offset % kDirectAlign == 0 && into.size() >= kDirectAlign &&
         reinterpret_cast<uintptr_t>(into.data()) % kDirectAlign == 0;
}

}  // namespace

HostSource::HostSource(HostImage image) : image_(std::move(image)), direct_(OpenDirect(image_)) {}

absl::StatusOr<std::unique_ptr<CopySource>> HostSource::Open(const std::string& path) {
  VMKEEP_ASSIGN_OR_RETURN(HostImage image, HostImage::Open(path));
  return std::make_unique<HostSource>(std::move(image));
}

absl::Status HostSource::Read(std::span<const Piece> pieces) const {
  for (const Piece& piece : pieces) VMKEEP_RETURN_IF_ERROR(ReadPiece(piece));
  return absl::OkStatus();
}

absl::Status HostSource::ReadPiece(const Piece& piece) const {
  std::span<std::byte> into = piece.into;
  int64_t offset = piece.offset;
  while (!into.empty()) {
    const bool direct = direct_.valid() && Aligned(offset, into);
    // The tail of a file that ends inside a block comes through the cache.
    const size_t bytes = direct ? into.size() - into.size() % kDirectAlign : into.size();
    const ssize_t got = pread(direct ? direct_.get() : image_.fd(), into.data(), bytes, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return error::SourceReadError(path(), offset, errno);
    if (got == 0) return error::SourceChanged(path(), "it became shorter");
    into = into.subspan(static_cast<size_t>(got));
    offset += got;
  }
  return absl::OkStatus();
}

int64_t HostSource::NextData(int64_t offset) const {
  const off_t data = lseek(image_.fd(), offset, SEEK_DATA);
  if (data >= 0) return std::min<int64_t>(data, bytes());
  // ENXIO: only a hole is left. Anything else (a device: no holes here; or an error): read it, and
  // let the read tell.
  return errno == ENXIO ? bytes() : offset;
}

int64_t HostSource::NextHole(int64_t offset) const {
  const off_t hole = lseek(image_.fd(), offset, SEEK_HOLE);
  return hole >= 0 ? std::min<int64_t>(hole, bytes()) : bytes();
}

void HostSource::Prefetch(int64_t offset, int64_t bytes) const {
  if (direct_.valid()) return;
  for (int64_t at = 0; at < bytes; at += kPrefetchStep) {
    (void)posix_fadvise(image_.fd(), offset + at, std::min(kPrefetchStep, bytes - at),
                        POSIX_FADV_WILLNEED);
  }
}

void HostSource::Forget(int64_t offset, int64_t bytes) const {
  if (direct_.valid()) return;
  (void)posix_fadvise(image_.fd(), offset, bytes, POSIX_FADV_DONTNEED);
}

}  // namespace vmkeep::worker
