#ifndef VMKEEP_CONTROLLER_PROGRESS_BUFFERED_WATCHER_H_
#define VMKEEP_CONTROLLER_PROGRESS_BUFFERED_WATCHER_H_

#include "common/mutex.h"
#include "controller/progress/live_state.h"
#include "controller/progress/watch_buffer.h"
#include "controller/progress/watch_hub.h"
#include "controller/progress/watch_interest.h"

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace vmkeep::controller {

// A watcher is in one of two modes. It *reads*: rows of the store in the order of their revisions,
// a chunk at a time and only when the last was taken, while changes gather in the buffer. Or it
// *follows*: the buffer alone. It begins with reading (the snapshot, or what a resume missed) and
// comes back to it when the buffer is full. No gap: it is registered before it reads, and it
// follows only when it has read up to everything that its buffer ever lost.
//
// The hub calls Offer*() and TakeRows() under its own lock, so that one order of revisions holds;
// no call here waits.
class BufferedWatcher final : public Watcher {
 public:
  // Asks for the next chunk of rows: answered by TakeRows(). Called without a lock.
  using Read = std::function<void(const std::shared_ptr<BufferedWatcher>&, BackupQuery)>;

  // `published`: the revision up to which the hub has published everything.
  static std::shared_ptr<BufferedWatcher> Make(const WatchHub::Request& request,
                                               const WatchLimits& limits, const LiveState& live,
                                               int64_t published, Read read,
                                               std::function<void()> on_ready);
  // A resumed watch that waits until all is settled was told of unfinished backups before, and
  // waits for them though it may hear nothing of them for now.
  bool waits_for_earlier() const { return resumed_ && until_settled_; }
  // One of those: unfinished at the moment when the watch was made. Before Start().
  void Expect(const BackupRecord& record) ABSL_LOCKS_EXCLUDED(mu_);
  void Start() { RequestRows(); }

  std::optional<Item> Next() override ABSL_LOCKS_EXCLUDED(mu_);
  bool finished() override ABSL_LOCKS_EXCLUDED(mu_);
  std::optional<absl::Status> closed() override ABSL_LOCKS_EXCLUDED(mu_);
  int64_t revision() override ABSL_LOCKS_EXCLUDED(mu_);

  // Each is true when whoever takes from here waits to be told: then call on_ready(), without a
  // lock.
  bool OfferChanges(const std::vector<SharedRecord>& records, int64_t published)
      ABSL_LOCKS_EXCLUDED(mu_);
  bool OfferLive(const SharedRecord& record) ABSL_LOCKS_EXCLUDED(mu_);
  // The chunk that was asked for, read when the store was at `read_at`; the hub has published up to
  // `published`.
  bool TakeRows(std::vector<BackupRecord> rows, int64_t read_at, int64_t published)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Ends it; no status: the hub drains.
  bool End(std::optional<absl::Status> status) ABSL_LOCKS_EXCLUDED(mu_);
  void on_ready() const { on_ready_(); }

 private:
  BufferedWatcher(const WatchHub::Request& request, const WatchLimits& limits,
                  const LiveState& live, int64_t published, Read read,
                  std::function<void()> on_ready);

  struct Taken {
    SharedRecord record;
    bool snapshot_complete = false;
    int64_t revision = 0;
  };
  std::optional<Taken> Take() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RequestRows() ABSL_LOCKS_EXCLUDED(mu_);
  bool Gathers(const BackupRecord& record) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Lose(int64_t revision) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  int64_t Position() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool reads() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return reading_ || !rows_.empty(); }
  bool Wake() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return std::exchange(waited_for_, false); }

  const LiveState& live_;
  const Read read_;
  const std::function<void()> on_ready_;
  const std::string project_;
  const int rows_per_read_;
  const bool resumed_;
  const bool until_settled_;
  std::weak_ptr<BufferedWatcher> self_;

  Mutex mu_;
  WatchInterest interest_ ABSL_GUARDED_BY(mu_);
  WatchBuffer buffer_ ABSL_GUARDED_BY(mu_);
  std::deque<SharedRecord> rows_ ABSL_GUARDED_BY(mu_);  // read, not taken yet
  bool reading_ ABSL_GUARDED_BY(mu_) = true;            // more rows are owed
  bool asked_ ABSL_GUARDED_BY(mu_) = false;             // a chunk is under way
  bool snapshot_told_ ABSL_GUARDED_BY(mu_) = false;
  bool waited_for_ ABSL_GUARDED_BY(mu_) = true;
  int64_t read_to_ ABSL_GUARDED_BY(mu_);      // every row up to here was read
  int64_t taken_to_ ABSL_GUARDED_BY(mu_);     // while it reads: every row up to here was taken
  int64_t lost_to_ ABSL_GUARDED_BY(mu_) = 0;  // the buffer lost changes up to here
  int64_t published_ ABSL_GUARDED_BY(mu_);    // every change up to here was offered
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<absl::Status> status_ ABSL_GUARDED_BY(mu_);
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_PROGRESS_BUFFERED_WATCHER_H_
