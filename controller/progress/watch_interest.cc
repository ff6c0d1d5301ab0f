#include "controller/progress/watch_interest.h"

#include "controller/domain/states.h"

#include <utility>

namespace vmkeep::controller {
namespace {

BackupFilter LastingPart(BackupFilter filter) {
  filter.states.clear();
  filter.repositories.clear();
  filter.repository_ids.clear();
  filter.labels.clear();
  filter.show_closed = true;
  return filter;
}

BackupFilter WithClosed(BackupFilter filter) {
  filter.show_closed = true;
  return filter;
}

}  // namespace

WatchInterest::WatchInterest(std::string project, BackupFilter filter, bool until_settled)
    : project_(std::move(project)),
      until_settled_(until_settled),
      filter_(std::move(filter)),
      lasting_(LastingPart(filter_)),
      matching_(WithClosed(filter_)),
      may_leave_(!filter_.states.empty() || !filter_.repositories.empty() ||
                 !filter_.repository_ids.empty() || !filter_.labels.empty()) {}

bool WatchInterest::MayConcern(const BackupRecord& record) const {
  return (project_ == kAnyProject || record.project == project_) && Matches(lasting_, record);
}

bool WatchInterest::Wants(const BackupRecord& record) const {
  return Matches(matching_, record) || told_.contains(record.id);
}

void WatchInterest::Tell(const BackupRecord& record) {
  if (!Wants(record)) return;
  const bool settled = IsSettled(record.state);
  if (until_settled_) {
    if (settled) {
      unsettled_.erase(record.id);
    } else {
      unsettled_.insert(record.id);
    }
  }
  if (!may_leave_) return;
  // Whoever waits until it is settled hears of it until then, also when it left the filter.
  if (Matches(matching_, record) || (until_settled_ && !settled)) {
    told_.insert(record.id);
  } else {
    told_.erase(record.id);
  }
}

}  // namespace vmkeep::controller
