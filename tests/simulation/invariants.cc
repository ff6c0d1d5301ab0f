#include "tests/simulation/invariants.h"

#include "controller/domain/states.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include <algorithm>
#include <iterator>

namespace vmkeep::sim {

using controller::BackupState;
using executor::StepKind;

namespace {

constexpr absl::Duration kMergeStartsWithin = absl::Seconds(30);  // design/reliability.md, I1
constexpr absl::Duration kHealthyEndsWithin =
    absl::Minutes(30);  // queue, copy and merge, generously

std::string TaskOf(const std::string& task_and_epoch) {
  return task_and_epoch.substr(0, task_and_epoch.rfind('.'));
}

// The names that are not there any more; `names` are those of now afterwards.
std::vector<std::string> Gone(const std::map<std::string, Folder>& now,
                              std::vector<std::string>& names) {
  const bool same =
      std::equal(now.begin(), now.end(), names.begin(), names.end(),
                 [](const auto& folder, const std::string& name) { return folder.first == name; });
  if (same) return {};
  std::vector<std::string> gone;
  for (const std::string& name : names) {
    if (!now.contains(name)) gone.push_back(name);
  }
  names.clear();
  for (const auto& [name, folder] : now) names.push_back(name);
  return gone;
}

std::string Text(const Blocks& blocks) { return absl::StrJoin(blocks, " "); }

}  // namespace

Invariants::Invariants(World& world, const Users& users) : world_(world), users_(users) {
  for (const auto& machine : world_.machines) {
    machine->host.watch.taken = [this](const std::string& task, const auto& disks) {
      taken_[task] = disks;
    };
    machine->host.watch.unlinked = [this](const std::string& overlay) {
      if (AnyJournalNames(executor::OverlayTask(overlay))) return;
      world_.base.trace.Report("I8", absl::StrCat(overlay, " was removed, which no journal names"));
    };
  }
  world_.acts = [this](const Machine&, const std::string& deed, const executor::TaskRecord& task) {
    OnDeed(deed, task);
  };
}

void Invariants::AfterStep() {
  for (const auto& machine : world_.machines) {
    CheckOverlays(*machine);
    CheckGuests(*machine);
  }
  for (const auto& nas : world_.repositories) CheckVanished(*nas);
  if (Moved()) {
    for (const auto& nas : world_.repositories) CheckPublished(*nas);
    CheckRecords();
    CheckPromises();
  }
  if (world_.scene.sick) CheckOthersGoOn();
}

// Whether records, folders or promises are not as they were after the last step: else what is said
// of them still holds.
bool Invariants::Moved() {
  std::vector<int64_t> now = {world_.store.content.revision, deeds_,
                              static_cast<int64_t>(users_.promises().size())};
  for (const auto& nas : world_.repositories)
    now.push_back(static_cast<int64_t>(nas->published.size()));
  if (now == looked_at_) return false;
  looked_at_ = std::move(now);
  return true;
}

// I1: on an overlay only in the copy window of a task that lives, or with a merge on its way: a
// verb of the safe direction within 30 s, always, once host, libvirtd and executor are there.
// Red by kNeverMerges: neither task nor keeper begins a merge.
void Invariants::CheckOverlays(Machine& machine) {
  const absl::Duration now = world_.base.time.now();
  for (const auto& [uuid, vm] : machine.host.vms) {
    bool covered = true;
    for (const DiskModel& disk : vm.disks) {
      if (disk.overlay.empty() || disk.merge || !machine.whole()) continue;
      const auto step = machine.executor->RunningStep(executor::OverlayTask(disk.overlay));
      if (step == StepKind::kSnapshot || step == StepKind::kCopy) continue;
      covered = false;
    }
    if (covered) {
      uncovered_.erase(uuid);
      continue;
    }
    const auto since = uncovered_.try_emplace(uuid, now).first;
    since->second = std::max({since->second, vm.merge_tried, machine.parts_back});
    if (now - since->second <= kMergeStartsWithin) continue;
    world_.base.trace.Report("I1", absl::StrCat(uuid, " is on an overlay and nobody merges it for ",
                                                absl::FormatDuration(now - since->second)));
  }
}

// I2: what the guest was told is written is read back. Red by kMergeLosesWrite: merges, live and
// offline, leave out a block.
void Invariants::CheckGuests(const Machine& machine) {
  for (const auto& [uuid, vm] : machine.host.vms) {
    for (const DiskModel& disk : vm.disks) {
      const Blocks seen = vm.Read(disk, machine.host.overlays);
      if (seen == disk.written) continue;
      world_.base.trace.Report("I2", absl::StrCat(uuid, " ", disk.target, " holds ", Text(seen),
                                                  " instead of ", Text(disk.written)));
    }
  }
}

// I3: what is published is whole, and is what the disks held at the snapshot of its task. Red by
// kCopyReadsTheOverlay: the copy takes what the guest writes meanwhile.
void Invariants::CheckPublished(const Nas& nas) {
  for (const auto& [id, folder] : nas.published) {
    const auto taken = taken_.find(TaskOf(folder.task));
    if (taken == taken_.end()) {
      world_.base.trace.Report("I3", absl::StrCat(id, " is of no snapshot"));
      continue;
    }
    for (const auto& [target, blocks] : taken->second) {
      const auto disk = folder.disks.find(target);
      if (disk != folder.disks.end() && disk->second == blocks) continue;
      world_.base.trace.Report(
          "I3", absl::StrCat(id, " ", target, " holds ",
                             disk == folder.disks.end() ? "nothing" : Text(disk->second),
                             " instead of ", Text(blocks)));
    }
  }
}

// I5: what a record says is so: RUNNING is published by the record's own task, in its repository,
// and nowhere else. Red by kPublishDoesNothing: the executor says done without a rename.
// I9: CLOSED stays removed. Red by kScrubDoesNothing.
void Invariants::CheckRecords() {
  for (const auto& [id, record] : world_.records()) {
    int found = 0;
    for (const auto& nas : world_.repositories) {
      const auto folder = nas->published.find(id);
      if (folder == nas->published.end()) continue;
      ++found;
      const bool its =
          nas->id == record.repository_id && folder->second.task == record.manifest_sha256;
      if (record.state == BackupState::kRunning && !its) {
        world_.base.trace.Report("I5", absl::StrCat(id, " is RUNNING by ", record.manifest_sha256,
                                                    " and published by ", folder->second.task));
      }
    }
    if (found > 1) world_.base.trace.Report("I6", absl::StrCat(id, " is published twice"));
    if (record.state == BackupState::kRunning && found == 0) {
      world_.base.trace.Report("I5", absl::StrCat(id, " is RUNNING and not published"));
    }
    if (record.state == BackupState::kRunning &&
        record.manifest_sha256 != absl::StrCat(record.task_id, ".", record.epoch)) {
      world_.base.trace.Report("I7", absl::StrCat(id, " is RUNNING by ", record.manifest_sha256,
                                                  ", its task is ", record.task_id));
    }
    if (record.state == BackupState::kClosed && found > 0) {
      world_.base.trace.Report("I9", absl::StrCat(id, " is CLOSED and published"));
    }
  }
}

// I6: what was promised for a request_id is kept, and is the only one. Red by kForgetsRequestIds:
// see users.cc, which compares the answers.
void Invariants::CheckPromises() {
  for (const auto& [request, promise] : users_.promises()) {
    if (world_.records().contains(promise.id)) continue;
    world_.base.trace.Report("I6", absl::StrCat(promise.id, " was acknowledged and is not there"));
  }
}

// I8: nothing goes that no journal names. Red by kRemovesWhatIsForeign: a discard empties
// .incoming. I9: a scrub takes the one that it is for. Red by kScrubTakesAnother.
void Invariants::CheckVanished(const Nas& nas) {
  for (const std::string& task : Gone(nas.incoming, incoming_[nas.id])) {
    if (AnyJournalNames(TaskOf(task))) continue;
    world_.base.trace.Report("I8", absl::StrCat(task, " was removed, which no journal names"));
  }
  for (const std::string& id : Gone(nas.published, published_[nas.id])) {
    if (may_vanish_.contains(id)) continue;
    world_.base.trace.Report("I9", absl::StrCat(id, " vanished without a scrub of it"));
  }
}

// I7: only the newest task of a record publishes or scrubs, as the controller's disk has it. Red by
// kAcceptsOldEpochs: the journal forgets which tasks it refused or has done.
void Invariants::OnDeed(const std::string& deed, const executor::TaskRecord& task) {
  ++deeds_;
  if (deed != "publish") may_vanish_.insert(task.backup_id);
  const auto record = world_.records().find(task.backup_id);
  if (deed == "take back") {  // a try that failed after its rename; late, and no matter by whom
    if (record == world_.records().end() || record->second.state != BackupState::kRunning) return;
    world_.base.trace.Report("I9", absl::StrCat(task.backup_id, " is RUNNING and was taken back"));
    return;
  }
  if (record == world_.records().end()) {
    world_.base.trace.Report("I7", absl::StrCat(deed, " of ", task.backup_id, " without a record"));
  } else if (record->second.epoch != task.task.epoch || record->second.task_id != task.task.id) {
    world_.base.trace.Report("I7", absl::StrCat(deed, " of ", task.backup_id, " by ",
                                                task.task.ToString(), ", the record's task is ",
                                                record->second.task_id, ".", record->second.epoch));
  } else if (!record->second.task_open) {
    world_.base.trace.Report("I7", absl::StrCat(deed, " of ", task.backup_id, " by ",
                                                task.task.ToString(), ", whose end is known"));
  }
}

bool Invariants::AnyJournalNames(const std::string& task) const {
  for (const auto& machine : world_.machines) {
    const auto& ever = machine->journal.ever();
    const auto at = ever.lower_bound(absl::StrCat(task, "."));
    if (at != ever.end() && at->second.task.id == task) return true;
  }
  return false;
}

// I12: what does not need the part that hangs goes on. A request that named no repository may need
// it: it may be placed before the hang is seen. Red by kHungHostStopsAll.
void Invariants::CheckOthersGoOn() {
  for (const auto& [request, promise] : users_.promises()) {
    const auto record = world_.records().find(promise.id);
    if (record == world_.records().end() || record->second.state == BackupState::kRunning) continue;
    const bool concerned =
        world_.sick_repository ? promise.repository != 2 : record->second.host_id == "host-0";
    if (concerned || world_.base.time.now() - promise.since < kHealthyEndsWithin) continue;
    world_.base.trace.Report("I12", absl::StrCat(promise.id, " does not need what hangs and is ",
                                                 StateName(record->second.state)));
  }
}

Invariants::Left Invariants::StillToDo() const {
  for (const auto& [id, record] : world_.records()) {
    if (controller::IsSettled(record.state)) continue;
    return {"I5", absl::StrCat(id, " is ", StateName(record.state))};
  }
  for (const auto& machine : world_.machines) {
    if (Left left = LeftOn(*machine); !left.what.empty()) return left;
  }
  for (const auto& nas : world_.repositories) {
    if (!nas->scrub.empty()) return {"I8", absl::StrCat(nas->id, " has folders in .scrub")};
    if (nas->incoming.size() > 1) return {"I8", absl::StrCat(nas->id, " has folders in .incoming")};
  }
  return {};
}

Invariants::Left Invariants::LeftOn(const Machine& machine) {
  for (const auto& [uuid, vm] : machine.host.vms) {
    if (vm.OnOverlay()) return {"I1", absl::StrCat(uuid, " is on an overlay")};
  }
  if (machine.executor == nullptr) return {"I8", absl::StrCat(machine.host.id, " is down")};
  for (const auto& [file, layer] : machine.host.overlays) {
    if (!absl::StrContains(file, "foreign")) return {"I8", absl::StrCat(file, " is left")};
  }
  if (!machine.journal.tasks().empty()) {
    const auto& task = machine.journal.tasks().front().known.record.task;
    return {"I8", absl::StrCat(task.ToString(), " is in the journal")};
  }
  if (machine.journal.has_events()) return {"I8", "events are not acknowledged"};
  return {};
}

// I5 from the other side: what is published is RUNNING.
void Invariants::AtRest() {
  CheckForeign();
  for (const auto& nas : world_.repositories) {
    for (const auto& [id, folder] : nas->published) {
      const auto record = world_.records().find(id);
      if (record != world_.records().end() && record->second.state == BackupState::kRunning)
        continue;
      world_.base.trace.Report(
          "I5", absl::StrCat(
                    id, " is published and its record is ",
                    record == world_.records().end() ? "absent" : StateName(record->second.state)));
    }
  }
}

void Invariants::CheckForeign() {
  for (const auto& nas : world_.repositories) {
    if (!nas->incoming.contains("foreign.1"))
      world_.base.trace.Report("I8", "a foreign folder is gone");
  }
  for (const auto& machine : world_.machines) {
    if (machine->host.overlays.contains("/vm/somebody.vmkeep-foreign.qcow2")) continue;
    world_.base.trace.Report("I8", "a foreign file is gone");
  }
}

}  // namespace vmkeep::sim
