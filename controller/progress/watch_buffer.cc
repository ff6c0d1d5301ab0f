#include "controller/progress/watch_buffer.h"

#include <utility>

namespace vmkeep::controller {

bool WatchBuffer::AddChange(const SharedRecord& record) {
  const auto at = entries_.find(record->id);
  const bool counted = at != entries_.end() && at->second.changed;
  if (!counted && changes_.size() >= max_changes_) {
    // Its live change stays, and must not bring back a record that is older than what is read.
    if (at != entries_.end()) at->second.record = record;
    return false;
  }
  if (counted) changes_.erase(at->second.record->revision);
  Put(record).changed = true;
  changes_.insert(record->revision);
  return true;
}

void WatchBuffer::AddLive(const SharedRecord& record) {
  const auto at = entries_.find(record->id);
  if (at != entries_.end()) {
    at->second.live = true;  // its record is as new as this one: both are what was published last
  } else {
    Put(record).live = true;
  }
}

WatchBuffer::Entry& WatchBuffer::Put(const SharedRecord& record) {
  const auto [at, added] = entries_.try_emplace(record->id);
  if (added) at->second.place = order_.insert(order_.end(), record->id);
  at->second.record = record;
  return at->second;
}

SharedRecord WatchBuffer::Pop() {
  if (order_.empty()) return nullptr;
  const auto at = entries_.find(order_.front());
  SharedRecord record = std::move(at->second.record);
  if (at->second.changed) changes_.erase(record->revision);
  entries_.erase(at);
  order_.pop_front();
  return record;
}

void WatchBuffer::DropChanges(int64_t revision) {
  for (auto at = entries_.begin(); at != entries_.end();) {
    Entry& entry = at->second;
    if (!entry.changed || entry.record->revision > revision) {
      ++at;
      continue;
    }
    changes_.erase(entry.record->revision);
    entry.changed = false;
    if (entry.live) {
      ++at;
    } else {
      order_.erase(entry.place);
      at = entries_.erase(at);
    }
  }
}

std::optional<int64_t> WatchBuffer::OldestChange() const {
  if (changes_.empty()) return std::nullopt;
  return *changes_.begin();
}

}  // namespace vmkeep::controller
