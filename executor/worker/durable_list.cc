#include "executor/worker/durable_list.h"

#include "common/fault_point/fault_point.h"
#include "common/status_macros.h"

#include <algorithm>

namespace vmkeep::worker {
namespace {

// A flush is due when so much of what was copied came since the last one, but never more than
// 1 GiB. Of data, not of holes: those cost nothing to pass once more (docs/performance.md: D5).
constexpr int64_t kShare = 64;
constexpr int64_t kMostChunks = (int64_t{1} << 30) / digest::kChunkBytes;
// Holes have lines too: these bound the memory that the lines of an empty disk take. From the
// second one on threads wait for the flush that is under way.
constexpr size_t kDueTextBytes = size_t{1} << 20;
constexpr size_t kMostTextBytes = size_t{8} << 20;

}  // namespace

DurableList::DurableList(CopyFiles* files)
    : image_(files->image),
      list_file_(files->list),
      list_(
          [this](absl::string_view text) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
            text_.append(text.data(), text.size());
            return absl::OkStatus();
          },
          std::move(files->kept)),
      data_chunks_(files->kept_data_chunks),
      flushed_data_chunks_(files->kept_data_chunks),
      written_bytes_(files->kept.lines * digest::kLineBytes) {}

bool DurableList::Due() const {
  const int64_t most = std::clamp<int64_t>(data_chunks_ / kShare, 1, kMostChunks);
  return data_chunks_ - flushed_data_chunks_ >= most || text_.size() >= kDueTextBytes;
}

absl::Status DurableList::Add(int64_t index, int64_t count, const digest::Sha256& digest,
                              bool data) {
  {
    MutexLock lock(&mu_);
    VMKEEP_RETURN_IF_ERROR(list_.AddRun(index, count, digest));
    if (data) data_chunks_ += count;
    // The others go on copying while one of them flushes.
    if (!Due() || (flushing_ && text_.size() < kMostTextBytes)) return absl::OkStatus();
    flushing_ = true;
  }
  return Flush();
}

absl::Status DurableList::Flush() {
  MutexLock one_at_a_time(&flush_mu_);
  std::string text;
  {
    MutexLock lock(&mu_);
    VMKEEP_RETURN_IF_ERROR(list_.Flush());
    text.swap(text_);
    if (!text.empty()) flushed_data_chunks_ = data_chunks_;
  }
  absl::Status status;
  if (!text.empty()) {
    // In this order: see the class. Each chunk of these lines was written before its digest was
    // added.
    status = image_.Flush();
    if (status.ok()) status = FaultPoint("worker.copy.checkpoint-flush.after");
    if (status.ok()) status = list_file_.WriteAt(written_bytes_, text);
    if (status.ok()) status = list_file_.Flush();
    if (status.ok()) status = FaultPoint("worker.copy.checkpoint-list.after");
    written_bytes_ += static_cast<int64_t>(text.size());
  }
  MutexLock lock(&mu_);
  flushing_ = false;
  return status;
}

absl::StatusOr<std::string> DurableList::Finish(int64_t chunks) {
  std::string root;
  std::string text;
  {
    MutexLock lock(&mu_);
    VMKEEP_ASSIGN_OR_RETURN(root, list_.Finish(chunks));
    text.swap(text_);
  }
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.copy.flush.before"));
  VMKEEP_RETURN_IF_ERROR(image_.Finish());
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.copy.flush.after"));
  MutexLock one_at_a_time(&flush_mu_);
  VMKEEP_RETURN_IF_ERROR(list_file_.WriteAt(written_bytes_, text));
  VMKEEP_RETURN_IF_ERROR(list_file_.Finish());
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.copy.flush-list.after"));
  return root;
}

}  // namespace vmkeep::worker
