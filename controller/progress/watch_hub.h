#ifndef VMKEEP_CONTROLLER_PROGRESS_WATCH_HUB_H_
#define VMKEEP_CONTROLLER_PROGRESS_WATCH_HUB_H_

#include "controller/domain/backup.h"
#include "controller/progress/live_state.h"
#include "controller/store/backup_store.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vmkeep::controller {

// One watcher's bounded, coalescing buffer: the newest view of each backup, in the order in which
// they first changed. Never holds up a publisher. Thread-safe.
class Watcher {
 public:
  struct Item {
    std::optional<BackupView> view;  // none: bookmark
    bool snapshot_complete = false;
    int64_t revision = 0;  // resume from here; 0 until the snapshot is complete: begin anew
  };
  virtual ~Watcher() = default;
  // The next item, or nothing now: then `on_ready` is called once, from some thread, when to ask
  // again. Ask finished() and closed() whenever there is nothing.
  virtual std::optional<Item> Next() = 0;
  // True when until_settled was asked for, the snapshot is out, everything matched is settled and
  // the buffer is empty.
  virtual bool finished() = 0;
  // The hub closed it (drain), or the store could not be read: deliver the rest, then end the
  // stream with this.
  virtual std::optional<absl::Status> closed() = 0;
  // Where to go on after the last item that was taken: for a bookmark.
  virtual int64_t revision() = 0;
};

// Fan-out of changes: snapshot first, then changes. A watcher that falls behind gets the newest of
// each backup; one that falls so far behind that its buffer is full reads what it missed from the
// store. Thread-safe. The store and the live state outlive the hub and all watchers.
class WatchHub {
 public:
  virtual ~WatchHub() = default;
  struct Request {
    std::string project;
    BackupFilter filter;
    // Resume: only later changes, CLOSED ones included, also of backups that match the filter no
    // longer. None, 0, or one that the store never had: begin with all that match.
    std::optional<int64_t> after_revision;
    bool until_settled = false;
  };
  // Answers at once; the snapshot follows from the store's reader. What `on_ready` touches it must
  // hold itself: it may be called while the watcher is let go.
  virtual std::shared_ptr<Watcher> Watch(Request request, std::function<void()> on_ready) = 0;
  // Records after their commit, in commit order (the store's observer).
  virtual void PublishCommitted(const std::vector<BackupRecord>& records) = 0;
  // Progress or conditions of work under way changed; its record did not.
  virtual void PublishLive(const BackupId& id) = 0;
  // The condition of a backup's VM changed; also of a settled backup, which the store is asked for.
  virtual void PublishVm(const BackupId& id) = 0;
  // Ends every watcher with UNAVAILABLE and "resume at"; later Watch() calls are refused the same
  // way.
  virtual void Close() = 0;
};

struct WatchLimits {
  size_t buffered_changes = 10'000;  // distinct backups per watcher; then it reads from the store
  int rows_per_read = 256;
};
// Waits for the store once; make it before anything is committed, and then make it the store's
// observer.
std::unique_ptr<WatchHub> MakeWatchHub(BackupStore& store, LiveState& live,
                                       WatchLimits limits = {});

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_PROGRESS_WATCH_HUB_H_
