#include "controller/tasks/scheduler_core.h"

#include "controller/tasks/errors.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <tuple>

namespace vmkeep::controller {
namespace {

constexpr char kWaitingForSlot[] = "WAITING_FOR_SLOT";
constexpr char kHostUnreachable[] = "HOST_UNREACHABLE";
constexpr char kRepositoryIll[] = "REPOSITORY_ILL";

bool Waits(Need need) { return need == Need::kBackupTask || need == Need::kScrubTask; }
bool HasOpenTask(Need need) { return need == Need::kAwaitTask || need == Need::kCancelTask; }

TaskRef TaskOf(const BackupRecord& record) { return {record.task_id, record.epoch}; }

}  // namespace

std::vector<SchedulerCommand> SchedulerCore::Step(absl::Duration now,
                                                  std::vector<SchedulerEvent> events) {
  now_ = now;
  commands_.clear();
  for (const SchedulerEvent& event : events) {
    std::visit([this](const auto& e) { On(e); }, event);
  }
  if (!draining_) Plan();
  return std::exchange(commands_, {});
}

// Events
// -------------------------------------------------------------------------------------------------------------

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
}

void SchedulerCore::On(const scheduler_event::Written& event) {
  Entry* entry = Find(event.id);
  if (entry == nullptr) return;
  entry->writing = false;
  entry->beginning.reset();
  // Refused because the record moved on: then there is something else to do, at once.
  const bool moved_on = entry->record.revision != entry->written_revision;
  if (!event.status.ok() && !moved_on) Delay(*entry);
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

// Records and time
// ---------------------------------------------------------------------------------------------------

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

// The pass over the queue
// --------------------------------------------------------------------------------------------

void SchedulerCore::Plan() {
  next_due_ = absl::InfiniteDuration();
  std::vector<Entry*> waiting;
  for (auto& [id, entry] : entries_) {
    if (entry.writing) continue;
    if (Waits(entry.need)) {
      waiting.push_back(&entry);
    } else {
      DriveOpenTask(entry);
    }
  }
  std::sort(waiting.begin(), waiting.end(), [](const Entry* a, const Entry* b) {
    return std::tie(a->turn, a->sequence) < std::tie(b->turn, b->sequence);
  });
  Load load = CountLoad();
  for (Entry* entry : waiting) TryBegin(*entry, load);
  if (next_due_ == absl::InfiniteDuration() || armed_ == next_due_) return;
  armed_ = next_due_;
  Emit(scheduler_command::ArmTimer{next_due_});
}

void SchedulerCore::DriveOpenTask(Entry& entry) {
  const BackupRecord& record = entry.record;
  if (entry.need == Need::kCloseNow) {
    ShowNone(entry);
    if (!Due(entry)) return;
    BeginWrite(entry);
    Emit(scheduler_command::CloseWithoutTask{record.id});
    return;
  }
  const auto host = hosts_.find(record.host_id);
  if (host == hosts_.end()) return;
  if (!host->second.online) {
    ShowUnreachable(entry, host->second);
    return;
  }
  if (entry.call == Call::kStarted || entry.call == Call::kCancelled) ShowNone(entry);
  if (entry.call != Call::kNone || !Due(entry)) return;
  entry.call_number = ++next_call_;
  if (entry.need == Need::kAwaitTask) {
    entry.call = Call::kStarting;
    Emit(scheduler_command::StartTask{record, entry.call_number});
  } else {
    entry.call = Call::kCancelling;
    Emit(scheduler_command::CancelTask{record.id, record.host_id, TaskOf(record),
                                       entry.call_number});
  }
}

void SchedulerCore::TryBegin(Entry& entry, Load& load) {
  const auto host = hosts_.find(entry.record.host_id);
  if (host == hosts_.end()) return;
  if (!host->second.online) {
    ShowUnreachable(entry, host->second);
    return;
  }
  if (entry.conditions.contains(kHostUnreachable)) ShowNone(entry);
  if (!Due(entry)) return;
  if (const auto problem = SlotProblem(entry, load)) {
    Show(entry, kWaitingForSlot, *problem);
    return;
  }
  NoPlace why;
  auto dispatch =
      entry.need == Need::kScrubTask ? PlaceScrub(entry, why) : PlaceBackup(entry, load, why);
  if (!dispatch && why.wait) {
    Show(entry, entry.need == Need::kScrubTask ? kRepositoryIll : kWaitingForSlot,
         std::string(why.error.message()));
    return;
  }
  if (!dispatch) {
    RefusePlacement(entry, why.error);
    return;
  }
  ShowNone(entry);
  BeginWrite(entry);
  entry.beginning = *dispatch;
  turn_ = std::max(turn_, entry.turn);
  Count(entry, load);
  Emit(scheduler_command::BeginTask{entry.record.id, *std::move(dispatch)});
}

std::optional<std::string> SchedulerCore::SlotProblem(const Entry& entry, const Load& load) const {
  const BackupRecord& record = entry.record;
  const auto running = load.hosts.find(record.host_id);
  if (running != load.hosts.end() && running->second >= options_.tasks_per_host) {
    return absl::StrCat("host ", record.host_id, " is at its limit of ", options_.tasks_per_host,
                        " tasks; starts when one of them ends");
  }
  if (load.vms.contains({record.host_id, record.vm_uuid})) {
    return absl::StrCat("another task of VM ", record.vm_name,
                        " is under way; starts when it ends");
  }
  if (entry.need != Need::kScrubTask) return std::nullopt;
  const auto busy = load.repositories.find(record.repository_id);
  if (busy == load.repositories.end() || busy->second < options_.tasks_per_repository) {
    return std::nullopt;
  }
  return absl::StrCat("repository ", record.repository_id, " is at its limit of ",
                      options_.tasks_per_repository, " tasks; starts when one of them ends");
}

std::optional<Recorder::Dispatch> SchedulerCore::PlaceBackup(const Entry& entry, const Load& load,
                                                             NoPlace& why) const {
  const BackupRecord& record = entry.record;
  std::vector<RepositoryCandidate> all;
  std::vector<RepositoryCandidate> with_slot;
  for (const RepositoryRecord& repository : repositories_) {
    if (repository.host_id != record.host_id) continue;
    const auto reserved = load.reserved_bytes.find(repository.id);
    all.push_back({repository, reserved == load.reserved_bytes.end() ? 0 : reserved->second});
    const auto busy = load.repositories.find(repository.id);
    const bool full =
        busy != load.repositories.end() && busy->second >= options_.tasks_per_repository;
    if (!full) with_slot.push_back(all.back());
  }
  // Without regard to slots first: what cannot be placed at all need not wait for one.
  const auto wanted = SelectRepository(record.requested_repository, record.reserved_bytes, all);
  if (!wanted.ok()) {
    why.error = wanted.status();
    return std::nullopt;
  }
  const auto place =
      SelectRepository(record.requested_repository, record.reserved_bytes, with_slot);
  if (!place.ok()) {
    why = {absl::UnavailableError(absl::StrCat(
               "repository ", wanted->slot, " of host ", record.host_id, " is at its limit of ",
               options_.tasks_per_repository, " tasks; starts when one of them ends")),
           true};
    return std::nullopt;
  }
  return Recorder::Dispatch{.repository = place->slot,
                            .repository_id = place->repository_id,
                            .placement_reason = place->reason,
                            .reserved_bytes = record.reserved_bytes};
}

// A scrub goes where the files are, by UUID, whichever slot that is now. It does not wait for the
// repository's health: a full one is ill until something is scrubbed.
std::optional<Recorder::Dispatch> SchedulerCore::PlaceScrub(const Entry& entry,
                                                            NoPlace& why) const {
  const BackupRecord& record = entry.record;
  for (const RepositoryRecord& repository : repositories_) {
    if (repository.host_id != record.host_id || repository.id != record.repository_id) continue;
    return Recorder::Dispatch{.repository = repository.slot,
                              .repository_id = repository.id,
                              .placement_reason = record.placement_reason,
                              .scrub = true};
  }
  why = {absl::UnavailableError(absl::StrCat(
             "repository ", record.repository_id, ", where the files are, is not seen by host ",
             record.host_id, "; mount it there, then the scrub goes on")),
         true};
  return std::nullopt;
}

void SchedulerCore::RefusePlacement(Entry& entry, const absl::Status& error) {
  Failure failure = RefusedByPlacement(error);
  if (failure.retryable) Show(entry, kRepositoryIll, failure.message);
  Reject(entry, std::move(failure));
}

void SchedulerCore::BeginWrite(Entry& entry) {
  entry.writing = true;
  entry.written_revision = entry.record.revision;
}

void SchedulerCore::Reject(Entry& entry, Failure failure) {
  BeginWrite(entry);
  Emit(scheduler_command::RejectTask{entry.record.id, entry.record.epoch, std::move(failure)});
}

// Load
// ---------------------------------------------------------------------------------------------------------------

void SchedulerCore::Count(const Entry& entry, Load& load) {
  const BackupRecord& record = entry.record;
  if (!entry.beginning && !HasOpenTask(entry.need)) return;
  const std::string& repository =
      entry.beginning ? entry.beginning->repository_id : record.repository_id;
  const bool scrub = entry.beginning ? entry.beginning->scrub : record.task_is_scrub;
  ++load.hosts[record.host_id];
  ++load.repositories[repository];
  load.vms.insert({record.host_id, record.vm_uuid});
  if (!scrub) load.reserved_bytes[repository] += record.reserved_bytes;
}

SchedulerCore::Load SchedulerCore::CountLoad() const {
  Load load;
  for (const auto& [id, entry] : entries_) Count(entry, load);
  return load;
}

int SchedulerCore::RunningOnHost(const HostId& host) const { return CountLoad().hosts[host]; }
int SchedulerCore::RunningInRepository(const std::string& repository_id) const {
  return CountLoad().repositories[repository_id];
}

// Conditions
// ---------------------------------------------------------------------------------------------------------

void SchedulerCore::Show(Entry& entry, const std::string& type, const std::string& message) {
  const auto shown = entry.conditions.find(type);
  if (shown != entry.conditions.end() && shown->second == message) return;
  for (const auto& [other, text] : entry.conditions) {
    if (other != type) Emit(scheduler_command::ClearCondition{entry.record.id, other});
  }
  entry.conditions = {{type, message}};
  Emit(scheduler_command::SetCondition{entry.record.id, type, message});
}

void SchedulerCore::ShowNone(Entry& entry) {
  for (const auto& [type, text] : entry.conditions) {
    Emit(scheduler_command::ClearCondition{entry.record.id, type});
  }
  entry.conditions.clear();
}

void SchedulerCore::ShowUnreachable(Entry& entry, const Host& host) {
  const std::string& id = entry.record.host_id;
  const absl::string_view then =
      HasOpenTask(entry.need)
          ? "only this host knows how its work stands; it is asked as soon as it answers"
          : "goes on as soon as it answers";
  Show(entry, kHostUnreachable,
       absl::StrCat("host ", id, " is not reachable: ", host.message, "; ", then));
}

}  // namespace vmkeep::controller
