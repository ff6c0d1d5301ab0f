#include "controller/tasks/scheduler_core.h"

#include "controller/tasks/errors.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <utility>

namespace vmkeep::controller {
std::vector<SchedulerCommand> SchedulerCore::Step(absl::Duration now,
                                                  const std::vector<SchedulerEvent>& events) {
  now_ = now;
  commands_.clear();
  for (const SchedulerEvent& event : events) {
    std::visit([this](const auto& e) { On(e); }, event);
  }
  if (!draining_) Plan();
  return std::exchange(commands_, {});
}

void SchedulerCore::On(const scheduler_event::RecordChanged& event) {
  const BackupRecord& record = event.record;
  const Need need = NeedOf(record);
  Entry* known = Find(record.id);
  if (known != nullptr && record.revision < known->record.revision) return;
  if (need == Need::kNothing) {
    if (known != nullptr) {
      ShowNone(*known);
      entries_.erase(record.id);
    }
    return;
  }
  Entry& entry = known != nullptr ? *known : FindOrAdd(record.id);
  const Need before = entry.need;
  const bool same_task = TaskOf(entry.record) == TaskOf(record);
  const bool failed_again = before == Need::kAwaitTask || record.attempts > entry.record.attempts;
  entry.record = record;
  entry.need = need;
  // Another task, or the same one with another wish: the host has to be told.
  if (!same_task || need != before) entry.call = Call::kNone;
  if (Waits(need) && need != before) TakeTurn(entry);
  if (Waits(need) && known != nullptr && failed_again) Delay(entry);
  if (need != before && !Waits(need)) entry.not_before = absl::ZeroDuration();
}

void SchedulerCore::On(const scheduler_event::HostOnline& event) {
  hosts_[event.host] = {.online = true, .message = {}};
  for (const KnownTask& task : event.tasks) {
    const Entry* owner = Find(task.backup_id);
    const bool owned =
        owner != nullptr && HasOpenTask(owner->need) && TaskOf(owner->record) == task.task;
    if (owned || task.ended) continue;
    Emit(scheduler_command::CancelTask{.id = {}, .host = event.host, .task = task.task});
  }
  for (auto& [id, entry] : entries_) {
    if (entry.record.host_id == event.host) AttachOrForget(entry, event.tasks);
  }
}

// A task that the host has is attached to; one that it does not have has to be sent again, as the
// same try.
void SchedulerCore::AttachOrForget(Entry& entry, const std::vector<KnownTask>& tasks) {
  entry.call = Call::kNone;
  entry.not_before = absl::ZeroDuration();
  for (const KnownTask& task : tasks) {
    if (!(task.task == TaskOf(entry.record))) continue;
    if (entry.need == Need::kAwaitTask) entry.call = Call::kStarted;
    // It ended by itself and will be reported: nothing to cancel.
    if (entry.need == Need::kCancelTask && task.ended) entry.call = Call::kCancelled;
  }
}

void SchedulerCore::On(const scheduler_event::HostOffline& event) {
  hosts_[event.host] = {.online = false, .message = event.message};
}

void SchedulerCore::On(const scheduler_event::InventoryChanged& event) {
  repositories_ = event.repositories;
  draining_hosts_ = event.draining;
}

void SchedulerCore::On(const scheduler_event::Written& event) {
  Entry* entry = Find(event.id);
  if (entry == nullptr) return;
  entry->writing = false;
  entry->beginning.reset();
  // Refused because the record moved on: then there is something else to do, at once.
  const bool moved_on = entry->record.revision != entry->written_revision;
  if (event.status.ok() || moved_on) return;
  // What the host answered to the cancel was not kept: it is asked again.
  if (entry->call == Call::kCancelled) entry->call = Call::kNone;
  Delay(*entry);
}

void SchedulerCore::On(const scheduler_event::StartAccepted& event) {
  Entry* entry = FindCall(event.id, event.call, Call::kStarting);
  if (entry == nullptr) return;
  entry->call = Call::kStarted;
  entry->backoff.Reset();
}

void SchedulerCore::On(const scheduler_event::StartRefused& event) {
  Entry* entry = FindCall(event.id, event.call, Call::kStarting);
  if (entry == nullptr) return;
  entry->call = Call::kNone;
  if (IsRefusal(event.status)) {
    Reject(*entry, RefusedByExecutor(event.status));
    return;
  }
  // Nobody knows whether it was accepted: the same try is sent again, which is safe.
  Delay(*entry);
  Show(*entry, kHostUnreachable,
       absl::StrCat("host ", entry->record.host_id, " does not answer to the task: ",
                    event.status.message(), "; it is sent again until the host says yes or no"));
}

void SchedulerCore::On(const scheduler_event::CancelAnswered& event) {
  Entry* entry = FindCall(event.id, event.call, Call::kCancelling);
  if (entry == nullptr) return;
  if (!event.status.ok()) {
    entry->call = Call::kNone;
    Delay(*entry);
    return;
  }
  entry->call = Call::kCancelled;
  if (event.gone) Reject(*entry, CancelledBeforeStart());
}

SchedulerCore::Entry* SchedulerCore::Find(const BackupId& id) {
  const auto found = entries_.find(id);
  return found == entries_.end() ? nullptr : &found->second;
}

SchedulerCore::Entry* SchedulerCore::FindCall(const BackupId& id, int64_t call, Call expected) {
  Entry* entry = Find(id);
  return entry != nullptr && entry->call == expected && entry->call_number == call ? entry
                                                                                   : nullptr;
}

SchedulerCore::Entry& SchedulerCore::FindOrAdd(const BackupId& id) {
  const int64_t sequence = next_sequence_++;
  Entry entry(Backoff(options_.retry_first, options_.retry_max,
                      options_.seed ^ static_cast<uint64_t>(sequence)));
  entry.sequence = sequence;
  return entries_.try_emplace(id, std::move(entry)).first->second;
}

void SchedulerCore::TakeTurn(Entry& entry) {
  std::erase_if(next_turn_, [this](const auto& vm) { return vm.second <= turn_; });
  int64_t& next = next_turn_[{entry.record.host_id, entry.record.vm_uuid}];
  entry.turn = std::max(turn_, next);
  next = entry.turn + 1;
}

void SchedulerCore::Delay(Entry& entry) { entry.not_before = now_ + entry.backoff.Next(); }

bool SchedulerCore::Due(const Entry& entry) {
  if (entry.not_before <= now_) return true;
  next_due_ = std::min(next_due_, entry.not_before);
  return false;
}

}  // namespace vmkeep::controller
