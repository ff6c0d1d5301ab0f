#include "controller/domain/errors.h"
#include "controller/tasks/errors.h"
#include "controller/tasks/scheduler_core.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <tuple>
#include <utility>

// The half of SchedulerCore that decides: one pass over the queue.
namespace vmkeep::controller {
namespace {

constexpr char kWaitingForSlot[] = "WAITING_FOR_SLOT";
constexpr char kRepositoryIll[] = "REPOSITORY_ILL";
constexpr char kHostDraining[] = "HOST_DRAINING";

std::string NotSeen(const BackupRecord& record) {
  return absl::StrCat("repository ", record.repository_id,
                      ", where files of this backup are or may be, is not seen by host ",
                      record.host_id, "; mount it there, then it goes on");
}

// The repository where the last try failed by its fault, and may be tried again; or empty.
std::string FailedIn(const BackupRecord& record) {
  if (!record.failure) return "";
  const auto found = record.failure->metadata.find("repository_id");
  return found == record.failure->metadata.end() ? "" : found->second;
}

std::string WithMoves(std::string reason, const BackupRecord& record) {
  for (const LeftRepository& left : record.left_repositories)
    absl::StrAppend(&reason, "; ", left.why);
  return reason;
}

}  // namespace

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
  if (draining_hosts_.contains(entry.record.host_id)) {
    Show(
        entry, kHostDraining,
        absl::StrCat("host ", entry.record.host_id,
                     " is draining: nothing new starts there until it is taken back into service"));
    return;
  }
  if (entry.conditions.contains(kHostUnreachable) || entry.conditions.contains(kHostDraining)) {
    ShowNone(entry);
  }
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
  int requested = record.requested_repository;
  // Where an earlier try left files, whichever slot that is now: another place would lose sight of
  // them.
  if (record.files_may_exist && !record.repository_id.empty()) {
    const RepositoryRecord* pinned = WhereFilesAre(record);
    if (pinned == nullptr) {
      why.error = error::NoRepository(NotSeen(record), /*passing=*/true);
      return std::nullopt;
    }
    requested = pinned->slot;
  }
  std::set<std::string> skipped;
  for (const LeftRepository& left : record.left_repositories) skipped.insert(left.id);
  // Where the last try failed by the repository's fault, only when nothing else can be had.
  if (const std::string sick = FailedIn(record); requested == 0 && !sick.empty()) {
    std::set<std::string> avoided = skipped;
    avoided.insert(sick);
    auto elsewhere = PlaceIn(record, requested, avoided, load, why);
    if (elsewhere || why.wait) return elsewhere;
  }
  return PlaceIn(record, requested, skipped, load, why);
}

std::optional<Recorder::Dispatch> SchedulerCore::PlaceIn(const BackupRecord& record, int requested,
                                                         const std::set<std::string>& skipped,
                                                         const Load& load, NoPlace& why) const {
  std::vector<RepositoryCandidate> all;
  std::vector<RepositoryCandidate> with_slot;
  for (const RepositoryRecord& repository : repositories_) {
    if (repository.host_id != record.host_id || skipped.contains(repository.id)) continue;
    const auto reserved = load.reserved_bytes.find(repository.id);
    all.push_back({repository, reserved == load.reserved_bytes.end() ? 0 : reserved->second});
    const auto busy = load.repositories.find(repository.id);
    const bool full =
        busy != load.repositories.end() && busy->second >= options_.tasks_per_repository;
    if (!full) with_slot.push_back(all.back());
  }
  if (all.empty() && !skipped.empty()) {
    why = {error::NoRepository("the VM's host reports no other", /*passing=*/true)};
    return std::nullopt;
  }
  // Without regard to slots first: what cannot be placed at all need not wait for one.
  const auto wanted = SelectRepository(requested, record.reserved_bytes, all);
  if (!wanted.ok()) {
    why.error = wanted.status();
    return std::nullopt;
  }
  const auto place = SelectRepository(requested, record.reserved_bytes, with_slot);
  if (!place.ok()) {
    why = {absl::UnavailableError(absl::StrCat(
               "repository ", wanted->slot, " of host ", record.host_id, " is at its limit of ",
               options_.tasks_per_repository, " tasks; starts when one of them ends")),
           true};
    return std::nullopt;
  }
  return Recorder::Dispatch{.repository = place->slot,
                            .repository_id = place->repository_id,
                            .placement_reason = WithMoves(place->reason, record),
                            .reserved_bytes = record.reserved_bytes};
}

// A scrub goes where the files are, by UUID, whichever slot that is now. It does not wait for the
// repository's health: a full one is ill until something is scrubbed.
std::optional<Recorder::Dispatch> SchedulerCore::PlaceScrub(const Entry& entry,
                                                            NoPlace& why) const {
  const BackupRecord& record = entry.record;
  const RepositoryRecord* repository = WhereFilesAre(record);
  if (repository == nullptr) {
    why = {absl::UnavailableError(NotSeen(record)), true};
    return std::nullopt;
  }
  return Recorder::Dispatch{.repository = repository->slot,
                            .repository_id = repository->id,
                            .placement_reason = record.placement_reason,
                            .scrub = true};
}

const RepositoryRecord* SchedulerCore::WhereFilesAre(const BackupRecord& record) const {
  for (const RepositoryRecord& repository : repositories_) {
    if (repository.host_id == record.host_id && repository.id == record.repository_id) {
      return &repository;
    }
  }
  return nullptr;
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
  Emit(scheduler_command::RejectTask{entry.record.id, entry.record.epoch, std::move(failure),
                                     entry.record.host_id});
}

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
