#ifndef VMKEEP_CONTROLLER_PROGRESS_WATCH_HUB_H_
#define VMKEEP_CONTROLLER_PROGRESS_WATCH_HUB_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controller/domain/backup.h"
#include "controller/progress/live_state.h"
#include "controller/store/backup_store.h"

namespace vmkeep::controller {

// One watcher's bounded, coalescing buffer: the newest view of each backup, in the order in which they first changed.
// Never holds up a publisher. Thread-safe.
class Watcher {
 public:
  struct Item {
    std::optional<BackupView> view;  // none: bookmark
    bool snapshot_complete = false;
    int64_t revision = 0;  // resume from here
  };
  virtual ~Watcher() = default;
  // The next item, or nothing now: then `on_ready` is called once, from some thread, when there is one.
  virtual std::optional<Item> Next() = 0;
  // True when until_settled was asked for, the snapshot is out, everything matched is settled and the buffer is empty.
  virtual bool finished() = 0;
  // The hub closed it (drain): deliver the rest, then end the stream with this.
  virtual std::optional<absl::Status> closed() = 0;
};

// Fan-out of changes: snapshot first, then changes. A watcher that falls behind gets the newest of each backup.
// Thread-safe.
class WatchHub {
 public:
  virtual ~WatchHub() = default;
  struct Request {
    std::string project;
    BackupFilter filter;
    std::optional<int64_t> after_revision;  // resume: only later changes; none: begin with all that match
    bool until_settled = false;
  };
  // Answers at once; the snapshot follows from the store's reader.
  virtual std::shared_ptr<Watcher> Watch(Request request, std::function<void()> on_ready) = 0;
  // Records after their commit, in commit order (the store's observer).
  virtual void PublishCommitted(const std::vector<BackupRecord>& records) = 0;
  // Progress or conditions of one backup changed; its record did not.
  virtual void PublishLive(const BackupId& id) = 0;
  // Ends every watcher with UNAVAILABLE and "resume at"; later Watch() calls are refused the same way.
  virtual void Close() = 0;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_PROGRESS_WATCH_HUB_H_
