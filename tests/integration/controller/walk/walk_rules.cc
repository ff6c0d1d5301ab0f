#include "tests/integration/controller/walk/walk_rules.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

#include <algorithm>

namespace vmkeep::controller::test {
namespace {

using enum BackupState;

bool Unfinished(const BackupRecord& backup) {
  const bool cancelling = backup.state == kScrub && backup.task_open && !backup.task_is_scrub;
  return backup.state == kRequested || backup.state == kBuilding || cancelling;
}

bool Stale(const BackupRecord& backup, const std::string& etag) {
  return !etag.empty() && etag != absl::StrCat(backup.revision);
}

}  // namespace

// One VM by three spellings; of several hosts the one that runs it.
WalkRules::Found WalkRules::Find(const std::string& spelling) const {
  const auto id = registered.find(spelling);
  const std::string wanted = id == registered.end() ? spelling : id->second;
  std::set<std::string> uuids;
  for (const auto& [host, vms] : reported) {
    for (const auto& [uuid, vm] : vms) {
      if (uuid == wanted || vm.name == wanted) uuids.insert(uuid);
    }
  }
  if (uuids.empty()) return {"VM_NOT_FOUND", "", ""};
  if (uuids.size() > 1) return {"VM_AMBIGUOUS", "", ""};
  std::vector<HostId> on;
  std::vector<HostId> running;
  for (const auto& [host, vms] : reported) {
    const auto vm = vms.find(*uuids.begin());
    if (vm == vms.end()) continue;
    on.push_back(host);
    if (vm->second.power == PowerState::kOn) running.push_back(host);
  }
  if (on.size() == 1) return {"", *uuids.begin(), on.front()};
  if (running.size() == 1) return {"", *uuids.begin(), running.front()};
  return {"VM_AMBIGUOUS", "", ""};
}

std::string WalkRules::Busy(const Found& vm) const {
  for (const BackupRecord& backup : backups) {
    if (backup.vm_uuid == vm.uuid && Unfinished(backup)) return "UNFINISHED_BACKUP";
  }
  const std::optional<Overlay>& overlay = reported.at(vm.host).at(vm.uuid).overlay;
  return overlay && overlay->needs_attention ? "VM_ON_OVERLAY" : "";
}

std::string WalkRules::Named(const std::string& name) const {
  return absl::StrReplaceAll(name,
                             {{"{date}", absl::FormatTime("%E4Y-%m-%d", now, absl::UTCTimeZone())},
                              {"{time}", absl::FormatTime("%T", now, absl::UTCTimeZone())}});
}

const BackupRecord* WalkRules::Get(int number) const {
  return number >= 0 && number < static_cast<int>(backups.size()) ? &backups[number] : nullptr;
}

std::string WalkRules::Create(const CreateInput& input) const {
  for (const BackupRecord& backup : backups) {
    if (input.request_id.empty() || backup.request_id != input.request_id) continue;
    return backup.request_digest == input.request_digest ? "" : "REQUEST_ID_REUSED";
  }
  const Found vm = Find(input.vm);
  if (!vm.reason.empty()) return vm.reason;
  if (const std::string busy = Busy(vm); !busy.empty()) return busy;
  const bool taken = std::any_of(backups.begin(), backups.end(), [&](const BackupRecord& backup) {
    return backup.vm_uuid == vm.uuid && backup.state != kClosed && backup.name == Named(input.name);
  });
  return taken ? "NAME_TAKEN" : "";
}

std::string WalkRules::Update(int number, const UpdateInput& input) const {
  const BackupRecord* backup = Get(number);
  if (backup == nullptr) return "BACKUP_NOT_FOUND";
  if (Stale(*backup, input.etag)) return "ETAG_MISMATCH";
  if (backup->state == kClosed) return input.scrub ? "ILLEGAL_TRANSITION" : "BACKUP_CLOSED";
  if (!input.name) return "";
  const bool taken = std::any_of(backups.begin(), backups.end(), [&](const BackupRecord& other) {
    return &other != backup && other.vm_uuid == backup->vm_uuid && other.state != kClosed &&
           other.name == Named(*input.name);
  });
  return taken ? "NAME_TAKEN" : "";
}

std::string WalkRules::Retry(int number, const std::string& etag) const {
  const BackupRecord* backup = Get(number);
  if (backup == nullptr) return "BACKUP_NOT_FOUND";
  if (Stale(*backup, etag)) return "ETAG_MISMATCH";
  if (backup->state != kUnresourced) return "ILLEGAL_TRANSITION";
  const Found vm = Find(backup->vm_uuid);
  if (!vm.reason.empty()) return vm.reason;
  if (const std::string busy = Busy(vm); !busy.empty()) return busy;
  return backup->files_may_exist && backup->host_id != vm.host ? "FILES_ON_OTHER_HOST" : "";
}

std::string WalkRules::UpdateHost(const HostId& id, bool with_executor) const {
  if (!hosts.contains(id)) return "HOST_NOT_FOUND";
  return with_executor ? "EXECUTOR_NOT_SEEN" : "";
}

std::string WalkRules::DeleteHost(const HostId& id) const {
  if (!hosts.contains(id)) return "HOST_NOT_FOUND";
  const bool used = std::any_of(backups.begin(), backups.end(), [&](const BackupRecord& backup) {
    return backup.host_id == id && backup.state != kClosed;
  });
  return used ? "HOST_IN_USE" : "";
}

std::string WalkRules::RegisterVm(const std::string& id, const std::string& uuid) const {
  const auto known = registered.find(id);
  if (known != registered.end()) return known->second == uuid ? "" : "VM_REGISTERED";
  const bool has_one = std::any_of(registered.begin(), registered.end(),
                                   [&](const auto& one) { return one.second == uuid; });
  if (has_one) return "VM_REGISTERED";
  for (const auto& [host, vms] : reported) {
    for (const auto& [other, vm] : vms) {
      if (vm.name == id && other != uuid) return "VM_ID_IS_A_NAME";
    }
  }
  return "";
}

// To the other one of two, once: nobody asked for this one, its fault it was, the VM is as before,
// and no file of the backup can be among the published ones there.
bool WalkRules::Moves(const BackupRecord& before, const WalkEnd& end) {
  const bool published = before.files_may_exist || (end.publishing && end.files_may_remain);
  return end.outcome == Outcome::kFailed && end.repository_fault && !end.vm_on_overlay &&
         before.requested_repository == 0 && !published && before.left_repositories.empty();
}

std::set<BackupState> WalkRules::AfterEnd(const BackupRecord& before, const WalkEnd& end) {
  const bool done = end.outcome == Outcome::kDone;
  if (before.task_is_scrub) return done ? std::set{kClosed} : std::set{kScrub, kScrubbing};
  if (before.state == kScrub) {  // cancelled: what it left, if anything, is scrubbed next
    const bool files = before.files_may_exist || done || end.files_may_remain;
    return files ? std::set{kScrub, kScrubbing} : std::set{kClosed};
  }
  if (done) return {kRunning};
  const bool again = end.retryable && !end.snapshot_taken && !end.vm_on_overlay;
  if (again && before.attempts < 3) return {kRequested, kBuilding};
  return Moves(before, end) ? std::set{kRequested, kBuilding} : std::set{kUnresourced};
}

bool WalkRules::MayGo(BackupState from, BackupState to) {
  static const std::set<std::pair<BackupState, BackupState>> kWays = {
      {kRequested, kBuilding},     // placed
      {kRequested, kUnresourced},  // cannot be placed
      {kBuilding, kRunning},       // published
      {kBuilding, kUnresourced},   // failed for good
      {kBuilding, kRequested},     // failed before the snapshot, for a passing reason
      {kUnresourced, kRequested},  // retried
      {kRequested, kScrub},        // scrub is allowed from everywhere but CLOSED
      {kBuilding, kScrub},        {kUnresourced, kScrub},
      {kRunning, kScrub},         {kScrub, kScrubbing},  // a host deletes it
      {kScrub, kClosed},                                 // there was nothing to delete
      {kScrubbing, kClosed},                             // deleted
      {kScrubbing, kScrub},                              // failed, to be tried again
  };
  return from == to || kWays.contains({from, to});
}

}  // namespace vmkeep::controller::test
