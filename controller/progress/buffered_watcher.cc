#include "controller/progress/buffered_watcher.h"

#include "controller/domain/errors.h"

#include <algorithm>
#include <utility>

namespace vmkeep::controller {
namespace {

// A revision that the store never had, as after it was put back from a copy, cannot be gone on
// from.
int64_t Begin(const WatchHub::Request& request, int64_t published) {
  const int64_t after = request.after_revision.value_or(0);
  return after > 0 && after <= published ? after : 0;
}

}  // namespace

std::shared_ptr<BufferedWatcher> BufferedWatcher::Make(const WatchHub::Request& request,
                                                       const WatchLimits& limits,
                                                       const LiveState& live, int64_t published,
                                                       Read read, std::function<void()> on_ready) {
  std::shared_ptr<BufferedWatcher> watcher(
      new BufferedWatcher(request, limits, live, published, std::move(read), std::move(on_ready)));
  watcher->self_ = watcher;
  return watcher;
}

BufferedWatcher::BufferedWatcher(const WatchHub::Request& request, const WatchLimits& limits,
                                 const LiveState& live, int64_t published, Read read,
                                 std::function<void()> on_ready)
    : live_(live),
      read_(std::move(read)),
      on_ready_(std::move(on_ready)),
      project_(request.project),
      rows_per_read_(limits.rows_per_read),
      resumed_(Begin(request, published) > 0),
      until_settled_(request.until_settled),
      interest_(request.project, request.filter, request.until_settled),
      buffer_(limits.buffered_changes),
      read_to_(Begin(request, published)),
      taken_to_(read_to_),
      published_(published) {}

void BufferedWatcher::Expect(const BackupRecord& record) {
  MutexLock lock(&mu_);
  if (interest_.MayConcern(record)) interest_.Tell(record);
}

std::optional<Watcher::Item> BufferedWatcher::Next() {
  std::optional<Taken> taken;
  {
    MutexLock lock(&mu_);
    taken = Take();
    waited_for_ = !taken.has_value();
  }
  if (!taken) {
    RequestRows();
    return std::nullopt;
  }
  Item item;
  item.snapshot_complete = taken->snapshot_complete;
  item.revision = taken->revision;
  if (taken->record != nullptr) item.view = live_.View(*taken->record);
  return item;
}

std::optional<BufferedWatcher::Taken> BufferedWatcher::Take() {
  while (!rows_.empty()) {
    const SharedRecord record = std::move(rows_.front());
    rows_.pop_front();
    taken_to_ = record->revision;
    // A resume does not know what was told before: it tells of everything that may have left the
    // filter.
    if (!interest_.Wants(*record) && (!resumed_ || snapshot_told_)) continue;
    interest_.Tell(*record);
    return Taken{record, false, Position()};
  }
  if (reading_) return std::nullopt;
  if (!snapshot_told_) {
    snapshot_told_ = true;
    return Taken{nullptr, true, Position()};
  }
  while (const SharedRecord record = buffer_.Pop()) {
    if (!interest_.Wants(*record)) continue;
    interest_.Tell(*record);
    return Taken{record, false, Position()};
  }
  return std::nullopt;
}

// Called when there is nothing to take: then the rows, if more are owed, are asked for.
void BufferedWatcher::RequestRows() {
  BackupQuery query;
  {
    MutexLock lock(&mu_);
    if (!reading_ || !rows_.empty() || asked_ || ended_) return;
    asked_ = true;
    query.project = project_;
    query.filter = resumed_ || snapshot_told_ ? interest_.lasting() : interest_.filter();
    query.changed_after = read_to_;
    query.limit = rows_per_read_;
  }
  read_(self_.lock(), std::move(query));
}

bool BufferedWatcher::TakeRows(std::vector<BackupRecord> rows, int64_t read_at, int64_t published) {
  MutexLock lock(&mu_);
  asked_ = false;
  if (ended_) return false;
  bool complete = static_cast<int>(rows.size()) < rows_per_read_;
  for (BackupRecord& row : rows) {
    // Committed, but not published yet: it comes as a change, in its turn.
    if (row.revision > published) {
      complete = true;
      break;
    }
    read_to_ = row.revision;
    rows_.push_back(std::make_shared<const BackupRecord>(std::move(row)));
  }
  if (complete) {
    read_to_ = std::max(read_to_, std::min(read_at, published));
    reading_ = read_to_ < lost_to_;
    buffer_.DropChanges(read_to_);
  }
  return Wake();
}

bool BufferedWatcher::OfferChanges(const std::vector<SharedRecord>& records, int64_t published) {
  MutexLock lock(&mu_);
  if (ended_) return false;
  bool added = false;
  for (const SharedRecord& record : records) {
    if (!Gathers(*record)) continue;
    if (!buffer_.AddChange(record)) Lose(record->revision);
    added = true;
  }
  published_ = std::max(published_, published);
  return added && (!reads() || !asked_) && Wake();
}

bool BufferedWatcher::OfferLive(const SharedRecord& record) {
  MutexLock lock(&mu_);
  if (ended_ || !Gathers(*record)) return false;
  buffer_.AddLive(record);
  return !reads() && Wake();
}

// While it reads, what was told is not known yet: all that may concern it is gathered, and judged
// when it is taken.
bool BufferedWatcher::Gathers(const BackupRecord& record) const {
  if (!interest_.MayConcern(record)) return false;
  return reads() || !snapshot_told_ || buffer_.contains(record.id) || interest_.Wants(record);
}

// The buffer is full: what it holds, and this change, will be read from the store.
void BufferedWatcher::Lose(int64_t revision) {
  if (!reads()) {
    read_to_ = Position();
    taken_to_ = read_to_;
  }
  lost_to_ = std::max(lost_to_, revision);
  buffer_.DropChanges();
  reading_ = true;
}

int64_t BufferedWatcher::Position() const {
  if (!snapshot_told_ && !resumed_) return 0;
  if (reads()) return taken_to_;
  const std::optional<int64_t> oldest = buffer_.OldestChange();
  return oldest ? std::min(*oldest - 1, published_) : published_;
}

bool BufferedWatcher::finished() {
  MutexLock lock(&mu_);
  return until_settled_ && snapshot_told_ && !reads() && buffer_.empty() && interest_.settled();
}

std::optional<absl::Status> BufferedWatcher::closed() {
  MutexLock lock(&mu_);
  if (!ended_) return std::nullopt;
  return status_ ? *status_ : error::WatchDraining(Position());
}

int64_t BufferedWatcher::revision() {
  MutexLock lock(&mu_);
  return Position();
}

bool BufferedWatcher::End(std::optional<absl::Status> status) {
  MutexLock lock(&mu_);
  if (ended_) return false;
  ended_ = true;
  status_ = std::move(status);
  return Wake();
}

}  // namespace vmkeep::controller
