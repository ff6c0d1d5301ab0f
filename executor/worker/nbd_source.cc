#include "executor/worker/nbd_source.h"

#include "common/status_macros.h"
#include "executor/worker/errors.h"

#include "absl/memory/memory.h"
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace vmkeep::worker {
namespace {

// One request; a chunk is several, all under way at once.
constexpr int64_t kRequestBytes = int64_t{1} << 20;
// Asked for at once: long holes cost little, and a cancel does not wait for the map of a whole
// disk.
constexpr int64_t kMapBytes = int64_t{1} << 30;
// Of a copy's reads, how much may lie in the page cache before it is given back.
constexpr int64_t kForgetBytes = int64_t{64} << 20;

constexpr char kAllocation[] = LIBNBD_CONTEXT_BASE_ALLOCATION;

std::string LastError() {
  const char* text = nbd_get_error();
  return text == nullptr ? "no answer" : text;
}

// One request under way.
struct Pending {
  int64_t cookie = 0;
  int64_t offset = 0;
};

// An answer that says "error" is the image's; without a connection it is the server that is gone.
absl::Status ReadError(nbd_handle* connection, const std::string& path, int64_t offset) {
  const int err = nbd_get_errno();
  const std::string said = LastError();
  const bool gone = nbd_aio_is_dead(connection) == 1 || nbd_aio_is_closed(connection) == 1;
  return gone ? error::SourceViewLost(path, said) : error::SourceReadError(path, offset, err);
}

// Waits for all, also after an error: their buffers are in use until then.
absl::Status Await(nbd_handle* connection, const std::string& path,
                   const std::vector<Pending>& pending) {
  absl::Status first;
  for (const Pending& request : pending) {
    while (true) {
      const int done = nbd_aio_command_completed(connection, static_cast<uint64_t>(request.cookie));
      if (done > 0) break;
      if (done < 0 || nbd_poll(connection, -1) < 0) {
        first.Update(ReadError(connection, path, request.offset));
        break;
      }
    }
  }
  return first;
}

// All pieces over one connection, which no other thread uses meanwhile.
absl::Status ReadOver(nbd_handle* connection, const std::string& path,
                      std::span<const Piece> pieces) {
  std::vector<Pending> pending;
  absl::Status failed;
  for (const Piece& piece : pieces) {
    const auto size = static_cast<int64_t>(piece.into.size());
    for (int64_t at = 0; at < size && failed.ok(); at += kRequestBytes) {
      const auto bytes = static_cast<size_t>(std::min(kRequestBytes, size - at));
      const int64_t cookie =
          nbd_aio_pread(connection, piece.into.data() + at, bytes,
                        static_cast<uint64_t>(piece.offset + at), nbd_completion_callback{}, 0);
      if (cookie < 0) {
        failed = ReadError(connection, path, piece.offset + at);
      } else {
        pending.push_back({cookie, piece.offset + at});
      }
    }
  }
  const absl::Status awaited = Await(connection, path, pending);
  return awaited.ok() ? failed : awaited;
}

}  // namespace

NbdSource::NbdSource(std::string path, std::vector<HostImage> files)
    : path_(std::move(path)), files_(std::move(files)) {}

absl::StatusOr<std::unique_ptr<CopySource>> NbdSource::Open(const std::string& path,
                                                            const v1::FlatView& view, int readers) {
  if (view.files().empty())
    return error::SourceUnusable(path, "it is not said which files its flat view is made of");
  std::vector<HostImage> files;
  for (const std::string& file : view.files()) {
    VMKEEP_ASSIGN_OR_RETURN(HostImage image, HostImage::Open(file));
    files.push_back(std::move(image));
  }
  std::unique_ptr<NbdSource> source = absl::WrapUnique(new NbdSource(path, std::move(files)));
  VMKEEP_ASSIGN_OR_RETURN(Connection map, Connect(path, view));
  source->bytes_ = nbd_get_size(map.get());
  if (source->bytes_ < 0) return error::SourceViewLost(path, LastError());
  {
    MutexLock lock(&source->map_mu_);
    source->map_connection_ = std::move(map);
  }
  MutexLock lock(&source->idle_mu_);
  for (int i = 0; i < readers; ++i) {
    VMKEEP_ASSIGN_OR_RETURN(Connection connection, Connect(path, view));
    source->idle_.push_back(std::move(connection));
  }
  return source;
}

absl::StatusOr<NbdSource::Connection> NbdSource::Connect(const std::string& path,
                                                         const v1::FlatView& view) {
  Connection connection(nbd_create());
  nbd_handle* handle = connection.get();
  if (handle == nullptr || nbd_set_export_name(handle, view.export_name().c_str()) != 0 ||
      nbd_add_meta_context(handle, kAllocation) != 0 ||
      nbd_connect_unix(handle, view.socket().c_str()) != 0) {
    return error::SourceViewLost(path, LastError());
  }
  return connection;
}

absl::Status NbdSource::Read(std::span<const Piece> pieces) const {
  Connection connection;
  {
    MutexLock lock(&idle_mu_);
    while (idle_.empty()) returned_.Wait(&idle_mu_);
    connection = std::move(idle_.back());
    idle_.pop_back();
  }
  absl::Status status = ReadOver(connection.get(), path_, pieces);
  MutexLock lock(&idle_mu_);
  idle_.push_back(std::move(connection));
  returned_.NotifyOne();
  return status;
}

int64_t NbdSource::NextData(int64_t offset) const {
  if (offset >= bytes_) return bytes_;
  const Extent extent = ExtentAt(offset);
  // Beyond what was asked for there may be data.
  return extent.zero ? extent.end : offset;
}

int64_t NbdSource::NextHole(int64_t offset) const {
  if (offset >= bytes_) return bytes_;
  const Extent extent = ExtentAt(offset);
  return extent.zero ? offset : extent.end;
}

NbdSource::Extent NbdSource::ExtentAt(int64_t offset) const {
  MutexLock lock(&map_mu_);
  if (map_.empty() || offset < map_begin_ || offset >= map_.back().end) Ask(offset);
  const auto found =
      std::upper_bound(map_.begin(), map_.end(), offset,
                       [](int64_t at, const Extent& extent) { return at < extent.end; });
  if (found != map_.end() && offset >= map_begin_) return *found;
  return {.end = bytes_, .zero = false};
}

void NbdSource::Ask(int64_t offset) const {
  map_.clear();
  map_begin_ = offset;
  struct Answer {
    std::vector<Extent>* map;
    int64_t at;
    int64_t end;
  } answer{&map_, offset, bytes_};
  const auto take = [](void* user, const char* context, uint64_t, uint32_t* entries, size_t count,
                       int*) {
    auto* into = static_cast<Answer*>(user);
    if (absl::string_view(context) != kAllocation) return 0;
    for (size_t i = 0; i + 1 < count; i += 2) {
      into->at = std::min(into->at + entries[i], into->end);
      const bool zero = (entries[i + 1] & LIBNBD_STATE_ZERO) != 0;
      if (!into->map->empty() && into->map->back().zero == zero) {
        into->map->back().end = into->at;
      } else {
        into->map->push_back({.end = into->at, .zero = zero});
      }
    }
    return 0;
  };
  // An error leaves the map empty, which means data: the read will say what is wrong.
  if (nbd_can_meta_context(map_connection_.get(), kAllocation) != 1) return;
  (void)nbd_block_status(
      map_connection_.get(), static_cast<uint64_t>(std::min(kMapBytes, bytes_ - offset)),
      static_cast<uint64_t>(offset), {.callback = take, .user_data = &answer, .free = nullptr}, 0);
}

void NbdSource::Forget(int64_t, int64_t bytes) const {
  const int64_t before = read_bytes_.fetch_add(bytes);
  if (before / kForgetBytes != (before + bytes) / kForgetBytes) ForgetFiles();
}

void NbdSource::ForgetFiles() const {
  for (const HostImage& file : files_) (void)posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED);
}

absl::Status NbdSource::CheckUnchanged() const {
  for (const HostImage& file : files_) VMKEEP_RETURN_IF_ERROR(file.CheckUnchanged());
  return absl::OkStatus();
}

}  // namespace vmkeep::worker
