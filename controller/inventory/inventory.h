#ifndef VMKEEP_CONTROLLER_INVENTORY_INVENTORY_H_
#define VMKEEP_CONTROLLER_INVENTORY_INVENTORY_H_

#include "common/clock.h"
#include "controller/domain/inventory.h"
#include "controller/store/backup_store.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vmkeep::controller {

// A host with what is known of it right now; record.last_seen is newer than the store's.
struct HostView {
  HostRecord record;
  Availability availability = Availability::kUnknown;
  std::string message;  // why it is not online, with the remedy; or why its VMs cannot be listed
};

// A VM by any of its spellings, found once.
struct ResolvedVm {
  VmRecord vm;
  std::vector<HostId> candidates;  // all hosts that report its UUID
  std::string registered_id = {};  // in the project that asked; empty when it has none

  // The VM as users call it.
  const std::string& id() const { return registered_id.empty() ? vm.uuid : registered_id; }
};

class InventoryMemory;

// Hosts, VMs and repositories: durable; availability lives in memory. Answers from
// memory, so no call but Load() waits. Thread-safe; lives as long as the store.
class Inventory {
 public:
  Inventory(BackupStore& store, Clock& clock);

  // Reads all that is durable. Once, before anything else.
  absl::Status Load();

  // `done` after the fsync. Another address for a known id changes it and keeps the pinned
  // executor.
  void RegisterHost(HostId id, std::string address,
                    std::function<void(absl::StatusOr<HostView>)> done);
  // First contact pins the executor's UUID. HOST_NOT_FOUND; HOST_CHANGED when another one answers
  // than the pinned, which UpdateHost can then confirm; EXECUTOR_TAKEN when it is another host's.
  // id: the host's; address, draining, acknowledged_sequence and last_seen are not looked at.
  void RecordHello(const HostRecord& seen, std::function<void(absl::Status)> done);
  // Drains it or takes it back into service, and pins another executor, as given; nothing stays as
  // it is. `done` after the fsync. HOST_NOT_FOUND; EXECUTOR_TAKEN; EXECUTOR_NOT_SEEN unless the
  // executor is the one that answered last and was refused.
  struct HostChange {
    std::optional<bool> draining;
    std::optional<std::string> executor_id;
  };
  void UpdateHost(HostId id, HostChange change, std::function<void(absl::StatusOr<HostView>)> done);
  // HOST_NOT_FOUND; HOST_IN_USE while a backup that is not CLOSED names it.
  void DeleteHost(const HostId& id, std::function<void(absl::Status)> done);
  // Repeating it changes nothing. VM_REGISTERED; VM_ID_IS_A_NAME. A VM that gets such a name later
  // is found by its UUID.
  void RegisterVm(const VmRegistration& registration, std::function<void(absl::Status)> done);
  // Its executor spoke. In memory at once; durable at most every few minutes and when it goes
  // offline, so that after a crash it is older by that much at most.
  void RecordSeen(const HostId& id);
  // Writes when the hosts were last seen: before the store is closed.
  void FlushSeen();
  void SetAvailability(const HostId& id, Availability availability, absl::string_view message);
  // Replaces what the host has: in memory at once, durable when more than sizes changed. Of unknown
  // hosts nothing is kept.
  void RecordInventory(const HostId& id, std::vector<VmRecord> vms,
                       std::vector<RepositoryRecord> repositories);
  void RecordAcknowledged(const HostId& id,
                          int64_t sequence);  // memory only: the store has it already

  std::optional<HostView> GetHost(absl::string_view id) const;
  std::vector<HostView> ListHosts() const;  // by id
  // By UUID, one entry per UUID.
  std::vector<ResolvedVm> ListVms(absl::string_view project) const;
  // Those on an overlay of ours, as every host that has them reports it.
  std::vector<VmRecord> ListVmsOnOverlay() const;
  std::vector<RepositoryRecord> ListRepositories(absl::string_view host_id) const;  // by slot
  std::vector<RepositoryRecord> ListAllRepositories() const;                        // by host, slot

  // By the project's registered id, by UUID, or by name (of VMs on every host). VM_NOT_FOUND;
  // VM_AMBIGUOUS when a name fits several UUIDs (metadata "vm_uuids") or when not exactly one of
  // several hosts with this UUID runs it (metadata "host_ids").
  absl::StatusOr<ResolvedVm> ResolveVm(absl::string_view project, absl::string_view spelling) const;

  // The UUID when it is an id that the project registered; else as it is.
  std::string UuidOf(absl::string_view project, absl::string_view spelling) const;

  // Called, from some thread and without a lock, after anything above changed. Set once, before
  // use.
  void OnChange(std::function<void()> changed);

 private:
  void WriteSeen(const HostId& id);

  BackupStore& store_;
  const std::shared_ptr<InventoryMemory> memory_;  // shared with commits under way
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_INVENTORY_INVENTORY_H_
