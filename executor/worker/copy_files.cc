#include "executor/worker/copy_files.h"

#include "common/clock.h"
#include "common/fs/errors.h"
#include "common/status_macros.h"
#include "executor/worker/errors.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <span>
#include <utility>

namespace vmkeep::worker {
namespace {

using digest::kChunkBytes;
using digest::kLineBytes;

// Whole lines that are read at once.
constexpr int64_t kLinesAtOnce = 1024;
// A worker that was killed may need a moment to leave a system call.
constexpr absl::Duration kOtherEndsWithin = absl::Seconds(10);
constexpr absl::Duration kLookEvery = absl::Milliseconds(20);

// On the list. Held as long as the process lives, also while it hangs in the kernel: nobody then
// drops what the other one still flushes and notes. A file system without locks has none.
absl::Status Lock(const fs::OutputFile& list, const JobContext& context) {
  const absl::Duration until = RealClock().Monotonic() + kOtherEndsWithin;
  while (flock(list.fd(), LOCK_EX | LOCK_NB) != 0 && (errno == EWOULDBLOCK || errno == EINTR)) {
    VMKEEP_RETURN_IF_ERROR(context.CheckCancelled());
    if (RealClock().Monotonic() >= until) return error::CopyInUse();
    RealClock().WaitFor(kLookEvery, {});
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> LengthOf(const fs::OutputFile& file) {
  struct stat found{};
  if (fstat(file.fd(), &found) != 0)
    return fs::error::FromErrno(errno, "cannot look at", "a copy's file");
  return static_cast<int64_t>(found.st_size);
}

// Up to kLinesAtOnce lines' bytes from `offset` on; fewer at the end.
absl::StatusOr<std::string> ReadLines(const fs::OutputFile& list, int64_t offset) {
  std::string text(static_cast<size_t>(kLinesAtOnce * kLineBytes), '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = pread(list.fd(), text.data() + size, text.size() - size,
                              offset + static_cast<int64_t>(size));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fs::error::FromErrno(errno, "cannot read", "the digest list");
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  text.resize(size);
  return text;
}

// The lines before the first one that is none, whatever follows it: see ADR 0053.
absl::Status ReadKept(CopyFiles& files) {
  static const std::string kZeros = digest::ToHex(digest::HashOfZeros(kChunkBytes));
  while (true) {
    VMKEEP_ASSIGN_OR_RETURN(const std::string text,
                            ReadLines(files.list, files.kept.lines * kLineBytes));
    const absl::string_view view = text;
    size_t good = 0;
    for (; view.size() - good >= kLineBytes; good += kLineBytes) {
      const absl::string_view digest = view.substr(good, kLineBytes - 1);
      if (!digest::IsHexDigest(digest) || view[good + kLineBytes - 1] != '\n') break;
      files.kept_data_chunks += digest == kZeros ? 0 : 1;
    }
    files.kept.root.Update(std::as_bytes(std::span(text.data(), good)));
    files.kept.lines += static_cast<int64_t>(good) / kLineBytes;
    if (good < static_cast<size_t>(kLinesAtOnce * kLineBytes)) return absl::OkStatus();
  }
}

// Bytes of the image's first `bytes` that are data. A file system that does not tell has no holes.
int64_t DataBytes(int fd, int64_t bytes) {
  int64_t data_bytes = 0;
  for (int64_t at = 0; at < bytes;) {
    const off_t data = lseek(fd, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    const int64_t from = data < 0 ? at : std::min<int64_t>(data, bytes);
    const off_t hole = lseek(fd, from, SEEK_HOLE);
    const int64_t until = hole < 0 ? bytes : std::min<int64_t>(hole, bytes);
    data_bytes += until - from;
    at = std::max(until, from + 1);
  }
  return data_bytes;
}

// False: no copy of an image of `bytes` leaves such files.
absl::StatusOr<bool> FindKept(CopyFiles& files, int64_t bytes) {
  VMKEEP_ASSIGN_OR_RETURN(const int64_t image_bytes, LengthOf(files.image));
  VMKEEP_ASSIGN_OR_RETURN(const int64_t list_bytes, LengthOf(files.list));
  if (image_bytes > bytes || list_bytes > digest::ChunkCount(bytes) * kLineBytes) return false;
  VMKEEP_RETURN_IF_ERROR(ReadKept(files));
  files.kept_bytes = std::min(files.kept.lines * kChunkBytes, bytes);
  return image_bytes >= files.kept_bytes;
}

// Nothing of what was written behind stays, wherever a hole or zeros belong. The list first: cut
// off in between, it never speaks of more than the image has.
absl::Status DropTheRest(CopyFiles& files, int64_t bytes) {
  VMKEEP_RETURN_IF_ERROR(files.list.SetLength(files.kept.lines * kLineBytes));
  VMKEEP_RETURN_IF_ERROR(files.image.SetLength(files.kept_bytes));
  return files.image.SetLength(bytes);
}

// Nothing when nothing plain lies there.
absl::StatusOr<std::optional<fs::OutputFile>> ReopenPlain(const fs::Fd& folder,
                                                          const std::string& name) {
  absl::StatusOr<fs::OutputFile> file = fs::OutputFile::Reopen(folder, name);
  if (absl::IsNotFound(file.status()) || absl::IsFailedPrecondition(file.status()))
    return std::nullopt;
  VMKEEP_RETURN_IF_ERROR(file.status());
  return *std::move(file);
}

}  // namespace

absl::StatusOr<CopyFiles> CreateCopyFiles(const fs::Fd& folder, const std::string& image,
                                          const std::string& list, int64_t bytes) {
  // The list first: a killed run leaves no old list beside a new image.
  VMKEEP_ASSIGN_OR_RETURN(fs::OutputFile list_file, fs::OutputFile::Create(folder, list, 0600));
  (void)flock(list_file.fd(), LOCK_EX | LOCK_NB);  // a file that nobody else has open
  VMKEEP_ASSIGN_OR_RETURN(fs::OutputFile image_file, fs::OutputFile::Create(folder, image, 0600));
  VMKEEP_RETURN_IF_ERROR(image_file.SetLength(bytes));
  return CopyFiles{.image = std::move(image_file), .list = std::move(list_file), .kept = {}};
}

absl::StatusOr<CopyFiles> ReopenCopyFiles(const fs::Fd& folder, const std::string& image,
                                          const std::string& list, int64_t bytes,
                                          const JobContext& context) {
  VMKEEP_ASSIGN_OR_RETURN(std::optional<fs::OutputFile> list_file, ReopenPlain(folder, list));
  if (list_file) VMKEEP_RETURN_IF_ERROR(Lock(*list_file, context));
  VMKEEP_ASSIGN_OR_RETURN(std::optional<fs::OutputFile> image_file, ReopenPlain(folder, image));
  if (!list_file || !image_file) return CreateCopyFiles(folder, image, list, bytes);
  CopyFiles files{.image = *std::move(image_file), .list = *std::move(list_file), .kept = {}};
  VMKEEP_ASSIGN_OR_RETURN(const bool ours, FindKept(files, bytes));
  if (!ours) return CreateCopyFiles(folder, image, list, bytes);
  VMKEEP_RETURN_IF_ERROR(DropTheRest(files, bytes));
  files.kept_data_bytes = DataBytes(files.image.fd(), files.kept_bytes);
  return files;
}

}  // namespace vmkeep::worker
