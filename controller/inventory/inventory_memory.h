#ifndef VMKEEP_CONTROLLER_INVENTORY_INVENTORY_MEMORY_H_
#define VMKEEP_CONTROLLER_INVENTORY_INVENTORY_MEMORY_H_

#include "common/clock.h"
#include "common/mutex.h"
#include "controller/domain/inventory.h"
#include "controller/inventory/inventory.h"
#include "controller/inventory/vm_index.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::controller {

// What is known of hosts, VMs and repositories now: the half of Inventory that needs no store.
// Thread-safe.
class InventoryMemory {
 public:
  explicit InventoryMemory(Clock& clock) : clock_(clock) {}

  void Load(std::vector<HostRecord> hosts, const std::vector<VmRecord>& vms,
            const std::vector<RepositoryRecord>& repositories) ABSL_LOCKS_EXCLUDED(mu_);

  // The record as it was committed.
  HostView SetHost(const HostRecord& record) ABSL_LOCKS_EXCLUDED(mu_);
  void RemoveHost(const HostId& id) ABSL_LOCKS_EXCLUDED(mu_);
  void AddVmRegistration(const VmRegistration& registration) ABSL_LOCKS_EXCLUDED(mu_);
  // True when exactly this answered before.
  bool Knows(const HostRecord& seen) const ABSL_LOCKS_EXCLUDED(mu_);
  // Which executor answered the host's last Hello and was refused; empty when none was.
  void SetRefusedExecutor(const HostId& id, absl::string_view executor_id) ABSL_LOCKS_EXCLUDED(mu_);
  std::string RefusedExecutor(const HostId& id) const ABSL_LOCKS_EXCLUDED(mu_);
  // True when what was durable of last_seen before is old enough to be written again.
  bool SetAvailability(const HostId& id, Availability availability, absl::string_view message)
      ABSL_LOCKS_EXCLUDED(mu_);
  bool SetSeen(const HostId& id) ABSL_LOCKS_EXCLUDED(mu_);
  // The hosts whose last_seen is to be written now.
  std::vector<HostId> TakeUnwrittenSeen() ABSL_LOCKS_EXCLUDED(mu_);
  void SetAcknowledged(const HostId& id, int64_t sequence) ABSL_LOCKS_EXCLUDED(mu_);
  // True when what is durable of it has to be written: it changed, or could not be written the last
  // time.
  bool SetInventory(const HostId& id, std::vector<VmRecord> vms,
                    std::vector<RepositoryRecord> repositories) ABSL_LOCKS_EXCLUDED(mu_);
  void SetUnwritten(const HostId& id) ABSL_LOCKS_EXCLUDED(mu_);

  std::optional<HostView> GetHost(absl::string_view id) const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<HostView> ListHosts() const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<VmRecord> VmsOf(const HostId& id) const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<ResolvedVm> ListVms(absl::string_view project) const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<VmRecord> ListVmsOnOverlay() const ABSL_LOCKS_EXCLUDED(mu_);
  // VM_ID_IS_A_NAME when a VM of another UUID bears the name.
  absl::Status CheckIsNoName(absl::string_view id, absl::string_view vm_uuid) const
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<ResolvedVm> ResolveVm(absl::string_view project, absl::string_view spelling) const
      ABSL_LOCKS_EXCLUDED(mu_);
  // See Inventory.
  std::string UuidOf(absl::string_view project, absl::string_view spelling) const
      ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<RepositoryRecord> ListRepositories(absl::string_view host_id) const
      ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<RepositoryRecord> ListAllRepositories() const ABSL_LOCKS_EXCLUDED(mu_);

  void OnChange(std::function<void()> changed) { changed_ = std::move(changed); }

 private:
  void Changed() const {
    if (changed_) changed_();
  }

  Clock& clock_;
  std::function<void()> changed_;
  mutable Mutex mu_;
  std::map<HostId, HostView> hosts_ ABSL_GUARDED_BY(mu_);
  VmIndex vms_ ABSL_GUARDED_BY(mu_);
  std::map<HostId, std::vector<RepositoryRecord>> repositories_ ABSL_GUARDED_BY(mu_);
  std::set<HostId> unwritten_ ABSL_GUARDED_BY(mu_);
  std::map<HostId, std::string> refused_executors_ ABSL_GUARDED_BY(mu_);
  std::map<HostId, absl::Time> seen_written_ ABSL_GUARDED_BY(mu_);  // last_seen as in the store
  // Both ways: {project, id} -> UUID, {project, UUID} -> id.
  std::map<std::pair<std::string, std::string>, std::string> uuid_of_ ABSL_GUARDED_BY(mu_);
  std::map<std::pair<std::string, std::string>, std::string> registered_as_ ABSL_GUARDED_BY(mu_);

  bool SeenIsOlder(const HostId& id, absl::Duration than) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string UuidOfHere(absl::string_view project, absl::string_view spelling) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SetRegisteredId(absl::string_view project, ResolvedVm& vm) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_INVENTORY_INVENTORY_MEMORY_H_
