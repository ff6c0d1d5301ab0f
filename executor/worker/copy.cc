#include "executor/worker/copy.h"

#include "common/digest/digest.h"
#include "common/error.h"
#include "common/fault_point/fault_point.h"
#include "common/fs/files.h"
#include "common/fs/output_file.h"
#include "common/manifest/manifest.h"
#include "common/mutex.h"
#include "common/status_macros.h"
#include "executor/worker/copy_files.h"
#include "executor/worker/copy_plan.h"
#include "executor/worker/copy_source.h"
#include "executor/worker/durable_list.h"
#include "executor/worker/host_source.h"
#include "executor/worker/nbd_source.h"
#include "executor/worker/repository.h"
#include "executor/worker/writeback_window.h"

#include "absl/strings/str_cat.h"
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace vmkeep::worker {
namespace {

using digest::kChunkBytes;

// Measured (docs/performance.md): so many keep reading, hashing and writing under way at once.
constexpr int kThreads = 4;
// Zeros are left out in aligned pieces of this size.
constexpr int64_t kPieceBytes = int64_t{64} << 10;
// Written at once: what a cancel waits for, and the grain of the progress.
constexpr int64_t kMaxWriteBytes = int64_t{1} << 20;
// Chunks whose write-back is under way.
constexpr size_t kWindowChunks = 6;

struct FreeMemory {
  void operator()(std::byte* memory) const noexcept {
    std::free(memory);  // NOLINT(cppcoreguidelines-no-malloc)
  }
};

// Memory for one chunk, as direct reads want it: aligned, and in huge pages where there are any, or
// the kernel cuts each read into small requests (docs/performance.md).
std::unique_ptr<std::byte[], FreeMemory> ChunkMemory() {
  constexpr size_t kHugePageBytes = size_t{2} << 20;
  void* memory = std::aligned_alloc(kHugePageBytes, kChunkBytes);
  if (memory == nullptr) std::abort();
  (void)madvise(memory, kChunkBytes, MADV_HUGEPAGE);
  return std::unique_ptr<std::byte[], FreeMemory>(static_cast<std::byte*>(memory));
}

// Copies the chunks of one image that are not in its files yet, by several threads. One use.
class Copier {
 public:
  Copier(const CopySource* source, CopyFiles* files, JobContext* context)
      : source_(*source),
        image_(files->image),
        context_(*context),
        plan_(source, files->kept.lines),
        window_(files->image.fd(), kWindowChunks),
        data_bytes_(files->kept_data_bytes),
        list_(files) {}

  absl::Status Run() {
    std::vector<std::jthread> threads;
    for (int i = 1; i < kThreads; ++i) threads.emplace_back([this] { Fail(Work()); });
    Fail(Work());
    threads.clear();
    MutexLock lock(&mu_);
    return first_error_;
  }

  // Flushes both files; the digest list's root.
  absl::StatusOr<std::string> Finish() { return list_.Finish(digest::ChunkCount(source_.bytes())); }

  int64_t data_bytes() const { return data_bytes_; }

 private:
  absl::Status Work() {
    const std::unique_ptr<std::byte[], FreeMemory> memory = ChunkMemory();
    const std::span<std::byte> buffer(memory.get(), kChunkBytes);
    digest::Hasher hasher;
    while (!failed_) {
      VMKEEP_RETURN_IF_ERROR(context_.CheckCancelled());
      const std::optional<CopyWork> work = plan_.Next();
      if (!work) break;
      VMKEEP_RETURN_IF_ERROR(work->hole ? PassHoles(*work)
                                        : CopyChunk(work->first_chunk, buffer, &hasher));
    }
    return absl::OkStatus();
  }

  void Fail(const absl::Status& status) {
    if (status.ok()) return;
    failed_ = true;
    MutexLock lock(&mu_);
    first_error_.Update(status);
  }

  absl::Status PassHoles(const CopyWork& work) {
    const int64_t offset = work.first_chunk * kChunkBytes;
    const int64_t bytes = std::min(work.chunks * kChunkBytes, source_.bytes() - offset);
    const digest::Sha256 zeros = digest::HashOfZeros(std::min(bytes, kChunkBytes));
    VMKEEP_RETURN_IF_ERROR(list_.Add(work.first_chunk, work.chunks, zeros, /*data=*/false));
    context_.AddProgress(bytes, bytes);
    return absl::OkStatus();
  }

  absl::Status CopyChunk(int64_t index, std::span<std::byte> buffer, digest::Hasher* hasher) {
    const int64_t offset = index * kChunkBytes;
    const int64_t bytes = std::min(kChunkBytes, source_.bytes() - offset);
    const std::span<std::byte> chunk = buffer.first(static_cast<size_t>(bytes));
    VMKEEP_RETURN_IF_ERROR(ReadChunk(offset, chunk));
    // Written before it is hashed: the disk works while the processor hashes.
    VMKEEP_RETURN_IF_ERROR(WriteChunk(offset, chunk));
    VMKEEP_RETURN_IF_ERROR(window_.Wrote(offset, bytes));
    return list_.Add(index, 1, digest::HashChunk(hasher, chunk), /*data=*/true);
  }

  // Data from the source, all of it asked for at once, zeros where it has holes.
  absl::Status ReadChunk(int64_t offset, std::span<std::byte> chunk) {
    const int64_t end = offset + static_cast<int64_t>(chunk.size());
    std::vector<Piece> pieces;
    for (int64_t at = offset; at < end;) {
      const int64_t data = std::min(source_.NextData(at), end);
      std::memset(chunk.data() + (at - offset), 0, static_cast<size_t>(data - at));
      const int64_t hole = data < end ? std::min(source_.NextHole(data), end) : end;
      // A hole that starts at its own data: somebody punches holes while we read. Read it all.
      at = hole > data ? hole : end;
      if (data < end) {
        pieces.push_back({data, chunk.subspan(static_cast<size_t>(data - offset),
                                              static_cast<size_t>(at - data))});
      }
    }
    VMKEEP_RETURN_IF_ERROR(source_.Read(pieces));
    context_.AddMove();
    source_.Forget(offset, end - offset);
    return absl::OkStatus();
  }

  // Leaves out the pieces that are zero: the new file is a hole from end to end already.
  absl::Status WriteChunk(int64_t offset, std::span<const std::byte> chunk) {
    const auto size = static_cast<int64_t>(chunk.size());
    for (int64_t at = 0; at < size;) {
      const bool zero = IsZeroPiece(chunk, at);
      int64_t end = at;
      while (end < size && end - at < kMaxWriteBytes && IsZeroPiece(chunk, end) == zero) {
        end = std::min(end + kPieceBytes, size);
      }
      VMKEEP_RETURN_IF_ERROR(context_.CheckCancelled());
      if (!zero) {
        const std::span run = chunk.subspan(static_cast<size_t>(at), static_cast<size_t>(end - at));
        VMKEEP_RETURN_IF_ERROR(image_.WriteAt(
            offset + at, absl::string_view(reinterpret_cast<const char*>(run.data()), run.size())));
        data_bytes_ += end - at;
      }
      context_.AddProgress(end - at, zero ? end - at : 0);
      at = end;
    }
    return absl::OkStatus();
  }

  static bool IsZeroPiece(std::span<const std::byte> chunk, int64_t at) {
    const auto from = static_cast<size_t>(at);
    return digest::IsZero(chunk.subspan(from, std::min<size_t>(kPieceBytes, chunk.size() - from)));
  }

  const CopySource& source_;
  const fs::OutputFile& image_;
  JobContext& context_;
  CopyPlan plan_;
  WritebackWindow window_;
  std::atomic<bool> failed_ = false;
  std::atomic<int64_t> data_bytes_;
  DurableList list_;
  Mutex mu_;
  absl::Status first_error_ ABSL_GUARDED_BY(mu_);
};

struct Written {
  std::string root;
  int64_t data_bytes = 0;
};

absl::Status CheckJob(const v1::Copy& job) {
  VMKEEP_RETURN_IF_ERROR(CheckIncomingName(job.incoming()));
  if (!manifest::IsPlainFileName(job.file()))
    return InvalidArgument("file", "must be a plain file name");
  if (job.format() != "raw" && job.format() != "qcow2")
    return InvalidArgument("format", "must be raw or qcow2");
  if (job.has_flat() && job.format() != "raw")
    return InvalidArgument("format", "must be raw: a flat view has no other");
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<CopySource>> OpenSource(const v1::Copy& job) {
  return job.has_flat() ? NbdSource::Open(job.source(), job.flat(), kThreads)
                        : HostSource::Open(job.source());
}

absl::StatusOr<Written> CopyInto(const fs::Fd& folder, const v1::Copy& job,
                                 const std::string& list_file, const CopySource& source,
                                 JobContext* context) {
  VMKEEP_ASSIGN_OR_RETURN(
      CopyFiles files,
      job.resume() ? ReopenCopyFiles(folder, job.file(), list_file, source.bytes(), *context)
                   : CreateCopyFiles(folder, job.file(), list_file, source.bytes()));
  context->SetTotal(source.bytes(), files.kept_bytes, files.kept_bytes - files.kept_data_bytes);
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.copy.write.before"));
  Copier copier(&source, &files, context);
  VMKEEP_RETURN_IF_ERROR(copier.Run());
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.copy.write.after"));
  VMKEEP_RETURN_IF_ERROR(source.CheckUnchanged());
  VMKEEP_ASSIGN_OR_RETURN(std::string root, copier.Finish());
  VMKEEP_RETURN_IF_ERROR(fs::Sync(folder, job.file()));
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.copy.flush-folder.after"));
  VMKEEP_RETURN_IF_ERROR(context->CheckCancelled());
  return Written{std::move(root), copier.data_bytes()};
}

}  // namespace

absl::StatusOr<v1::CopyResult> Copy(const v1::Copy& job, JobContext* context) {
  VMKEEP_RETURN_IF_ERROR(CheckJob(job));
  VMKEEP_ASSIGN_OR_RETURN(const RepositoryRoot root, RepositoryRoot::Open(job.repository()));
  VMKEEP_ASSIGN_OR_RETURN(const std::unique_ptr<CopySource> source, OpenSource(job));
  VMKEEP_ASSIGN_OR_RETURN(const fs::Fd incoming, root.Incoming());
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.copy.make-incoming.before"));
  const absl::StatusOr<fs::Fd> folder = fs::MakeDirs(incoming, job.incoming(), 0700);
  if (!folder.ok()) return root.Wrap(folder.status());
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.copy.make-incoming.after"));
  const std::string list_file = absl::StrCat(job.file(), ".sha256");
  const absl::StatusOr<Written> written = CopyInto(*folder, job, list_file, *source, context);
  const bool to_be_resumed = context->parent_ended() && absl::IsCancelled(written.status());
  if (!written.ok() && !to_be_resumed) {
    // After a failed flush the page cache may show what the disk does not hold: never to be used,
    // so it goes at once.
    (void)fs::Unlink(*folder, job.file());
    (void)fs::Unlink(*folder, list_file);
  }
  if (!written.ok()) return root.Wrap(written.status());
  v1::CopyResult result;
  result.set_file_bytes(source->bytes());
  result.set_data_bytes(written->data_bytes);
  auto* digest = result.mutable_digest();
  digest->set_algorithm("sha256");
  digest->set_chunk_bytes(kChunkBytes);
  digest->set_list_file(list_file);
  digest->set_root(written->root);
  return result;
}

}  // namespace vmkeep::worker
