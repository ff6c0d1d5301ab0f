#include "executor/worker/copy_plan.h"

#include "common/digest/digest.h"

#include <algorithm>

namespace vmkeep::worker {
namespace {

using digest::kChunkBytes;

// Handed out at once at most, so that a cancel is seen in a disk of many TiB of nothing.
constexpr int64_t kMaxHoleChunks = 16384;
constexpr int64_t kPrefetchBytes = 4 * kChunkBytes;

}  // namespace

std::optional<CopyWork> CopyPlan::Next() {
  MutexLock lock(&mu_);
  const int64_t offset = next_chunk_ * kChunkBytes;
  if (offset >= source_.bytes()) return std::nullopt;
  if (next_data_ < offset) next_data_ = source_.NextData(offset);
  const int64_t end = std::min(offset + kChunkBytes, source_.bytes());
  if (next_data_ >= end) return Holes(next_data_);
  PrefetchAhead();
  return CopyWork{.first_chunk = next_chunk_++, .chunks = 1, .hole = false};
}

CopyWork CopyPlan::Holes(int64_t until) {
  // Whole chunks; a shorter last one has a digest of its own and comes alone.
  const int64_t whole = std::clamp<int64_t>(until / kChunkBytes - next_chunk_, 1, kMaxHoleChunks);
  const CopyWork work{.first_chunk = next_chunk_, .chunks = whole, .hole = true};
  next_chunk_ += whole;
  return work;
}

void CopyPlan::PrefetchAhead() {
  const int64_t offset = next_chunk_ * kChunkBytes;
  const int64_t from = std::max(prefetched_, offset);
  const int64_t until = std::min(offset + kPrefetchBytes, source_.bytes());
  if (until <= from) return;
  source_.Prefetch(from, until - from);
  prefetched_ = until;
}

}  // namespace vmkeep::worker
