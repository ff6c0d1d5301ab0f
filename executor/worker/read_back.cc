#include "executor/worker/read_back.h"

#include "common/fault_point/fault_point.h"
#include "common/fs/files.h"
#include "common/fs/output_file.h"
#include "common/mutex.h"
#include "common/status_macros.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

namespace vmkeep::worker {
namespace {

using digest::kChunkBytes;

// As many as a copy has: see copy.cc.
constexpr int kThreads = 4;
constexpr size_t kStepBytes = size_t{1} << 20;
// Text of the list that is written at once.
constexpr size_t kListTextBytes = size_t{1} << 20;

// Makes the list of one file. One use.
class ListMaker {
 public:
  ListMaker(const ReadBack* file, fs::OutputFile* list_file)
      : file_(*file),
        list_file_(*list_file),
        list_([this](absl::string_view text) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
          text_.append(text.data(), text.size());
          return absl::OkStatus();
        }) {}

  absl::StatusOr<std::string> Run() {
    std::vector<std::jthread> threads;
    for (int i = 1; i < kThreads; ++i) threads.emplace_back([this] { Note(Work()); });
    Note(Work());
    threads.clear();
    MutexLock lock(&mu_);
    VMKEEP_RETURN_IF_ERROR(first_error_);
    VMKEEP_ASSIGN_OR_RETURN(std::string root, list_.Finish(digest::ChunkCount(file_.bytes())));
    VMKEEP_RETURN_IF_ERROR(list_file_.WriteAt(text_at_, text_));
    return root;
  }

 private:
  absl::Status Work() {
    std::vector<std::byte> buffer(static_cast<size_t>(std::min(kChunkBytes, file_.bytes())));
    digest::Hasher hasher;
    while (!failed_) {
      const int64_t index = next_chunk_++;
      if (index >= digest::ChunkCount(file_.bytes())) break;
      const int64_t offset = index * kChunkBytes;
      const std::span chunk = std::span(buffer).first(
          static_cast<size_t>(std::min(kChunkBytes, file_.bytes() - offset)));
      VMKEEP_RETURN_IF_ERROR(file_.Read(offset, chunk));
      VMKEEP_RETURN_IF_ERROR(Add(index, digest::HashChunk(&hasher, chunk)));
    }
    return absl::OkStatus();
  }

  absl::Status Add(int64_t index, const digest::Sha256& digest) ABSL_LOCKS_EXCLUDED(mu_) {
    std::string text;
    int64_t at = 0;
    {
      MutexLock lock(&mu_);
      VMKEEP_RETURN_IF_ERROR(list_.Add(index, digest));
      if (text_.size() < kListTextBytes) return absl::OkStatus();
      text.swap(text_);
      at = std::exchange(text_at_, text_at_ + static_cast<int64_t>(text.size()));
    }
    return list_file_.WriteAt(at, text);
  }

  void Note(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_) {
    if (status.ok()) return;
    failed_ = true;
    MutexLock lock(&mu_);
    first_error_.Update(status);
  }

  const ReadBack& file_;
  fs::OutputFile& list_file_;
  std::atomic<int64_t> next_chunk_ = 0;
  std::atomic<bool> failed_ = false;
  Mutex mu_;
  digest::ListWriter list_ ABSL_GUARDED_BY(mu_);
  std::string text_ ABSL_GUARDED_BY(mu_);     // lines that are not in the file yet
  int64_t text_at_ ABSL_GUARDED_BY(mu_) = 0;  // where they go
  absl::Status first_error_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

absl::StatusOr<ReadBack> ReadBack::Open(const fs::Fd& folder, const ExportFile& file,
                                        const Refuse* refuse, JobContext* context) {
  VMKEEP_ASSIGN_OR_RETURN(fs::Fd fd, fs::OpenFileToFlush(folder, file.path));
  ReadBack opened(std::move(fd), file.path, refuse, context);
  VMKEEP_RETURN_IF_ERROR(fs::Sync(opened.fd_, file.path));
  context->AddMove();
  VMKEEP_ASSIGN_OR_RETURN(opened.found_, fs::GetInfo(opened.fd_, file.path));
  if (opened.bytes() != file.bytes) return (*refuse)(file.path, "its length changed meanwhile");
  fs::ForgetCached(opened.fd_, 0, 0);
  return opened;
}

int64_t ReadBack::data_bytes() const { return std::min(found_.stored_bytes, bytes()); }

absl::Status ReadBack::Read(int64_t offset, std::span<std::byte> into) const {
  const int64_t begin = offset;
  const auto size = static_cast<int64_t>(into.size());
  while (!into.empty()) {
    VMKEEP_RETURN_IF_ERROR(context_->CheckCancelled());
    const std::span step = into.first(std::min(into.size(), kStepBytes));
    VMKEEP_ASSIGN_OR_RETURN(const size_t got, fs::ReadAt(fd_, offset, step, path_));
    if (got == 0) return (*refuse_)(path_, "it became shorter while it was read");
    context_->AddProgress(static_cast<int64_t>(got), 0);
    into = into.subspan(got);
    offset += static_cast<int64_t>(got);
  }
  fs::ForgetCached(fd_, begin, size);
  return absl::OkStatus();
}

absl::Status ReadBack::CheckUnchanged(const fs::Fd& folder) const {
  // By its path: a file put in its place is a change too.
  VMKEEP_ASSIGN_OR_RETURN(const fs::Fd again, fs::OpenFile(folder, path_));
  VMKEEP_ASSIGN_OR_RETURN(const fs::FileInfo now, fs::GetInfo(again, path_));
  const bool same = now.device == found_.device && now.inode == found_.inode &&
                    now.bytes == found_.bytes && now.modified == found_.modified;
  return same ? absl::OkStatus() : (*refuse_)(path_, "it changed while it was read");
}

absl::StatusOr<digest::Sha256> HashWhole(const ReadBack& file) {
  digest::Hasher hasher;
  std::vector<std::byte> buffer(static_cast<size_t>(std::min(kChunkBytes, file.bytes())));
  for (int64_t offset = 0; offset < file.bytes(); offset += kChunkBytes) {
    const std::span chunk =
        std::span(buffer).first(static_cast<size_t>(std::min(kChunkBytes, file.bytes() - offset)));
    VMKEEP_RETURN_IF_ERROR(file.Read(offset, chunk));
    hasher.Update(chunk);
  }
  return hasher.Finish();
}

absl::StatusOr<std::string> HashIntoList(const ReadBack& file, const fs::Fd& folder,
                                         const std::string& list_file) {
  VMKEEP_ASSIGN_OR_RETURN(fs::OutputFile list, fs::OutputFile::Create(folder, list_file, 0600));
  file.DoNotReadAhead();
  VMKEEP_ASSIGN_OR_RETURN(std::string root, ListMaker(&file, &list).Run());
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.seal.flush-list.before"));
  VMKEEP_RETURN_IF_ERROR(list.Finish());
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.seal.flush-list.after"));
  return root;
}

}  // namespace vmkeep::worker
