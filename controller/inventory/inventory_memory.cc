#include "controller/inventory/inventory_memory.h"

#include "controller/domain/errors.h"

#include <algorithm>
#include <utility>

namespace vmkeep::controller {
namespace {

// How old the durable last_seen may become: one small write per host in this time.
constexpr absl::Duration kSeenEvery = absl::Minutes(5);

// What is durable of them: sizes and probe times change all the time and are known again soon after
// a start.
std::vector<VmRecord> WithoutSizes(std::vector<VmRecord> vms) {
  for (VmRecord& vm : vms) {
    if (vm.overlay) vm.overlay->bytes = 0;
  }
  return vms;
}
std::vector<RepositoryRecord> WithoutSizes(std::vector<RepositoryRecord> repositories) {
  for (RepositoryRecord& repository : repositories) {
    repository.free_bytes = 0;
    repository.probe_time = {};
  }
  return repositories;
}

// In the order of their slots; one that the host names twice counts once.
std::vector<RepositoryRecord> BySlot(const HostId& host,
                                     std::vector<RepositoryRecord> repositories) {
  std::map<int, RepositoryRecord> by_slot;
  for (RepositoryRecord& repository : repositories) {
    repository.host_id = host;
    const int slot = repository.slot;
    by_slot.try_emplace(slot, std::move(repository));
  }
  repositories.clear();
  for (auto& [slot, repository] : by_slot) repositories.push_back(std::move(repository));
  return repositories;
}

// An executor that just came up has not probed its repositories yet: that is no news of one that is
// known, and no reason to refuse a backup.
void KeepWhatIsKnown(const std::vector<RepositoryRecord>& known,
                     std::vector<RepositoryRecord>& reported) {
  for (RepositoryRecord& repository : reported) {
    if (repository.health != Health::kUnknown) continue;
    const auto before = std::find_if(known.begin(), known.end(), [&](const auto& each) {
      return each.slot == repository.slot && each.path == repository.path;
    });
    if (before != known.end()) repository = *before;
  }
}

}  // namespace

void InventoryMemory::Load(std::vector<HostRecord> hosts, const std::vector<VmRecord>& vms,
                           const std::vector<RepositoryRecord>& repositories) {
  std::map<HostId, std::vector<VmRecord>> vms_of;
  for (const VmRecord& vm : vms) vms_of[vm.host_id].push_back(vm);
  MutexLock lock(&mu_);
  for (HostRecord& host : hosts) {
    if (host.last_seen) seen_written_[host.id] = *host.last_seen;
    hosts_[host.id].record = std::move(host);
  }
  for (auto& [host, list] : vms_of) vms_.Replace(host, std::move(list));
  for (const RepositoryRecord& it : repositories) repositories_[it.host_id].push_back(it);
}

HostView InventoryMemory::SetHost(const HostRecord& record) {
  HostView view;
  {
    MutexLock lock(&mu_);
    HostView& host = hosts_[record.id];
    // Another executor counts its events anew.
    const bool same = host.record.executor_id == record.executor_id;
    const int64_t acknowledged = same ? host.record.acknowledged_sequence : 0;
    const std::optional<absl::Time> last_seen = host.record.last_seen;
    host.record = record;
    host.record.acknowledged_sequence = std::max(acknowledged, record.acknowledged_sequence);
    host.record.last_seen = std::max(last_seen, record.last_seen);
    if (!same) refused_executors_.erase(record.id);
    view = host;
  }
  Changed();
  return view;
}

void InventoryMemory::RemoveHost(const HostId& id) {
  {
    MutexLock lock(&mu_);
    hosts_.erase(id);
    vms_.Replace(id, {});
    repositories_.erase(id);
    refused_executors_.erase(id);
    seen_written_.erase(id);
    // A report under way may still reach the store for a host that is registered under this id
    // next: what that one has is written in any case.
    unwritten_.insert(id);
  }
  Changed();
}

void InventoryMemory::AddVmRegistration(const VmRegistration& registration) {
  MutexLock lock(&mu_);
  uuid_of_[{registration.project, registration.id}] = registration.uuid;
  registered_as_[{registration.project, registration.uuid}] = registration.id;
}

bool InventoryMemory::Knows(const HostRecord& seen) const {
  MutexLock lock(&mu_);
  const auto host = hosts_.find(seen.id);
  if (host == hosts_.end()) return false;
  HostRecord same = seen;
  same.address = host->second.record.address;
  same.draining = host->second.record.draining;
  same.acknowledged_sequence = host->second.record.acknowledged_sequence;
  same.last_seen = host->second.record.last_seen;
  return same == host->second.record;
}

void InventoryMemory::SetRefusedExecutor(const HostId& id, absl::string_view executor_id) {
  MutexLock lock(&mu_);
  if (hosts_.contains(id)) refused_executors_[id] = std::string(executor_id);
}

std::string InventoryMemory::RefusedExecutor(const HostId& id) const {
  MutexLock lock(&mu_);
  const auto found = refused_executors_.find(id);
  return found == refused_executors_.end() ? std::string() : found->second;
}

bool InventoryMemory::SetAvailability(const HostId& id, Availability availability,
                                      absl::string_view message) {
  bool write = false;
  {
    MutexLock lock(&mu_);
    const auto at = hosts_.find(id);
    if (at == hosts_.end()) return false;
    HostView& host = at->second;
    if (host.availability == availability && host.message == message) return false;
    // The last that is heard of it for an unknown time.
    write = host.availability == Availability::kOnline && SeenIsOlder(id, absl::ZeroDuration());
    host.availability = availability;
    host.message = std::string(message);
  }
  Changed();
  return write;
}

bool InventoryMemory::SetSeen(const HostId& id) {
  MutexLock lock(&mu_);
  const auto host = hosts_.find(id);
  if (host == hosts_.end()) return false;
  host->second.record.last_seen = clock_.Now();
  return SeenIsOlder(id, kSeenEvery);
}

std::vector<HostId> InventoryMemory::TakeUnwrittenSeen() {
  std::vector<HostId> ids;
  MutexLock lock(&mu_);
  for (const auto& [id, host] : hosts_) {
    if (SeenIsOlder(id, absl::ZeroDuration())) ids.push_back(id);
  }
  return ids;
}

// What is durable of last_seen differs by more than this; from now on it does not, whoever asked
// writes it.
bool InventoryMemory::SeenIsOlder(const HostId& id, absl::Duration than) {
  const std::optional<absl::Time>& seen = hosts_[id].record.last_seen;
  if (!seen) return false;
  const auto [written, first] = seen_written_.try_emplace(id, *seen);
  // A clock that was set back counts too.
  if (!first && absl::AbsDuration(*seen - written->second) <= than) return false;
  written->second = *seen;
  return true;
}

bool InventoryMemory::SetInventory(const HostId& id, std::vector<VmRecord> vms,
                                   std::vector<RepositoryRecord> repositories) {
  bool write = false;
  {
    MutexLock lock(&mu_);
    if (!hosts_.contains(id)) return false;
    const std::vector<VmRecord> vms_before = vms_.OfHost(id);
    vms_.Replace(id, std::move(vms));
    repositories = BySlot(id, std::move(repositories));
    KeepWhatIsKnown(repositories_[id], repositories);
    const std::vector<RepositoryRecord> before =
        std::exchange(repositories_[id], std::move(repositories));
    write = unwritten_.erase(id) > 0 || WithoutSizes(vms_before) != WithoutSizes(vms_.OfHost(id)) ||
            WithoutSizes(before) != WithoutSizes(repositories_[id]);
  }
  Changed();
  return write;
}

void InventoryMemory::SetUnwritten(const HostId& id) {
  MutexLock lock(&mu_);
  unwritten_.insert(id);
}

void InventoryMemory::SetAcknowledged(const HostId& id, int64_t sequence) {
  MutexLock lock(&mu_);
  const auto host = hosts_.find(id);
  if (host == hosts_.end()) return;
  int64_t& acknowledged = host->second.record.acknowledged_sequence;
  acknowledged = std::max(acknowledged, sequence);
}

std::optional<HostView> InventoryMemory::GetHost(absl::string_view id) const {
  MutexLock lock(&mu_);
  const auto host = hosts_.find(HostId(id));
  if (host == hosts_.end()) return std::nullopt;
  return host->second;
}

std::vector<HostView> InventoryMemory::ListHosts() const {
  std::vector<HostView> hosts;
  MutexLock lock(&mu_);
  hosts.reserve(hosts_.size());
  for (const auto& [id, host] : hosts_) hosts.push_back(host);
  return hosts;
}

std::vector<VmRecord> InventoryMemory::VmsOf(const HostId& id) const {
  MutexLock lock(&mu_);
  return vms_.OfHost(id);
}

std::vector<ResolvedVm> InventoryMemory::ListVms(absl::string_view project) const {
  MutexLock lock(&mu_);
  std::vector<ResolvedVm> vms = vms_.List();
  for (ResolvedVm& vm : vms) SetRegisteredId(project, vm);
  return vms;
}

std::vector<VmRecord> InventoryMemory::ListVmsOnOverlay() const {
  MutexLock lock(&mu_);
  return vms_.OnOverlay();
}

absl::Status InventoryMemory::CheckIsNoName(absl::string_view id, absl::string_view vm_uuid) const {
  MutexLock lock(&mu_);
  for (const std::string& uuid : vms_.Named(id)) {
    if (uuid != vm_uuid) return error::VmIdIsAName(id, uuid);
  }
  return absl::OkStatus();
}

absl::StatusOr<ResolvedVm> InventoryMemory::ResolveVm(absl::string_view project,
                                                      absl::string_view spelling) const {
  MutexLock lock(&mu_);
  absl::StatusOr<ResolvedVm> vm = vms_.Resolve(UuidOfHere(project, spelling));
  if (vm.ok()) SetRegisteredId(project, *vm);
  return vm;
}

std::string InventoryMemory::UuidOf(absl::string_view project, absl::string_view spelling) const {
  MutexLock lock(&mu_);
  return UuidOfHere(project, spelling);
}

std::string InventoryMemory::UuidOfHere(absl::string_view project,
                                        absl::string_view spelling) const {
  const auto found = uuid_of_.find({std::string(project), std::string(spelling)});
  return found == uuid_of_.end() ? std::string(spelling) : found->second;
}

void InventoryMemory::SetRegisteredId(absl::string_view project, ResolvedVm& vm) const {
  const auto found = registered_as_.find({std::string(project), vm.vm.uuid});
  if (found != registered_as_.end()) vm.registered_id = found->second;
}

std::vector<RepositoryRecord> InventoryMemory::ListRepositories(absl::string_view host_id) const {
  MutexLock lock(&mu_);
  const auto host = repositories_.find(HostId(host_id));
  return host == repositories_.end() ? std::vector<RepositoryRecord>() : host->second;
}

std::vector<RepositoryRecord> InventoryMemory::ListAllRepositories() const {
  std::vector<RepositoryRecord> all;
  MutexLock lock(&mu_);
  for (const auto& [host, list] : repositories_) all.insert(all.end(), list.begin(), list.end());
  return all;
}

}  // namespace vmkeep::controller
