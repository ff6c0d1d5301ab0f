#ifndef VMKEEP_CONTROLLER_PROGRESS_WATCH_BUFFER_H_
#define VMKEEP_CONTROLLER_PROGRESS_WATCH_BUFFER_H_

#include "controller/domain/backup.h"

#include <cstdint>
#include <limits>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>

namespace vmkeep::controller {

// Shared by all watchers.
using SharedRecord = std::shared_ptr<const BackupRecord>;

// Changes that a watcher did not take yet: the newest record of each backup, in the order in which
// they came first. Not thread-safe. Bounded: at most `max_changes` changed backups; those with live
// changes alone are at most the unfinished ones, one per VM, and those whose VM is on an overlay.
class WatchBuffer {
 public:
  explicit WatchBuffer(size_t max_changes) : max_changes_(max_changes) {}

  // The record changed. False when there is no room: nothing was taken, and the watcher has to read
  // what it misses.
  bool AddChange(const SharedRecord& record);
  // Its progress or conditions changed; `record` is the newest.
  void AddLive(const SharedRecord& record);

  bool empty() const { return order_.empty(); }
  bool contains(const BackupId& id) const { return entries_.contains(id); }
  // The oldest; nothing when empty.
  SharedRecord Pop();

  // Forgets changes up to `revision`, which the watcher has by other ways. Live changes stay.
  void DropChanges(int64_t revision = std::numeric_limits<int64_t>::max());
  // The lowest revision of a change that is here: whoever reads on after one less misses none of
  // them.
  std::optional<int64_t> OldestChange() const;

 private:
  struct Entry {
    SharedRecord record;
    bool changed = false;
    bool live = false;
    std::list<BackupId>::iterator place;
  };
  Entry& Put(const SharedRecord& record);

  const size_t max_changes_;
  std::list<BackupId> order_;
  std::unordered_map<BackupId, Entry> entries_;
  std::set<int64_t> changes_;  // the revisions of changed entries
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_PROGRESS_WATCH_BUFFER_H_
