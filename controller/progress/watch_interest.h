#ifndef VMKEEP_CONTROLLER_PROGRESS_WATCH_INTEREST_H_
#define VMKEEP_CONTROLLER_PROGRESS_WATCH_INTEREST_H_

#include "controller/domain/backup.h"
#include "controller/store/backup_store.h"

#include <unordered_set>

namespace vmkeep::controller {

// What one watcher wants to hear of. A backup that matched and no longer does, because its state,
// labels or repository changed, is told once more: whoever shows a list has to take it out. CLOSED
// is always told. Not thread-safe.
class WatchInterest {
 public:
  WatchInterest(std::string project, BackupFilter filter, bool until_settled);

  // The filter for what is there at the beginning.
  const BackupFilter& filter() const { return filter_; }
  // The part of it that a backup matches for life or never.
  const BackupFilter& lasting() const { return lasting_; }

  // Of this project, and can match at some time.
  bool MayConcern(const BackupRecord& record) const;
  // To be told now: matches, or did when it was told last.
  bool Wants(const BackupRecord& record) const;
  // It is told, in the order of its revisions: remembers what Wants() and settled() need.
  void Tell(const BackupRecord& record);
  // Everything that was told and matched is RUNNING, UNRESOURCED or CLOSED.
  bool settled() const { return unsettled_.empty(); }

 private:
  const std::string project_;
  const bool until_settled_;
  BackupFilter filter_;
  BackupFilter lasting_;
  BackupFilter matching_;  // filter_ with CLOSED ones
  bool may_leave_ = false;
  // Bounded by the backups that match: ids only, and only where they are needed.
  std::unordered_set<BackupId> told_;
  std::unordered_set<BackupId> unsettled_;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_PROGRESS_WATCH_INTEREST_H_
