#include "controller/inventory/vm_index.h"

#include "controller/domain/errors.h"

#include "absl/strings/ascii.h"

#include <utility>

namespace vmkeep::controller {
namespace {

std::vector<HostId> HostsOf(const std::map<HostId, VmRecord>& on_hosts) {
  std::vector<HostId> hosts;
  hosts.reserve(on_hosts.size());
  for (const auto& [host, vm] : on_hosts) hosts.push_back(host);
  return hosts;
}

// The one host where the VM has this power; nothing when there is none, or more than one.
const VmRecord* OnlyOneWith(PowerState power, const std::map<HostId, VmRecord>& on_hosts) {
  const VmRecord* found = nullptr;
  for (const auto& [host, vm] : on_hosts) {
    if (vm.power != power) continue;
    if (found != nullptr) return nullptr;
    found = &vm;
  }
  return found;
}

bool AnyWith(PowerState power, const std::map<HostId, VmRecord>& on_hosts) {
  for (const auto& [host, vm] : on_hosts) {
    if (vm.power == power) return true;
  }
  return false;
}

// The host that runs it. A migration's target is paused while the source runs: a paused one counts
// only when none runs.
const VmRecord* Running(const std::map<HostId, VmRecord>& on_hosts) {
  if (AnyWith(PowerState::kOn, on_hosts)) return OnlyOneWith(PowerState::kOn, on_hosts);
  return OnlyOneWith(PowerState::kPaused, on_hosts);
}

}  // namespace

void VmIndex::Replace(const HostId& host, std::vector<VmRecord> vms) {
  Remove(host);
  for (VmRecord& vm : vms) {
    vm.uuid = absl::AsciiStrToLower(vm.uuid);
    vm.host_id = host;
    const std::string uuid = vm.uuid;
    const std::string name = vm.name;
    if (!by_uuid_[uuid].try_emplace(host, std::move(vm)).second)
      continue;  // the host named it twice
    ++uuids_by_name_[name][uuid];
    uuids_by_host_[host].insert(uuid);
  }
}

void VmIndex::Remove(const HostId& host) {
  const auto known = uuids_by_host_.find(host);
  if (known == uuids_by_host_.end()) return;
  for (const std::string& uuid : known->second) {
    const auto on_hosts = by_uuid_.find(uuid);
    const auto vm = on_hosts->second.find(host);
    const auto named = uuids_by_name_.find(vm->second.name);
    if (--named->second[uuid] == 0) named->second.erase(uuid);
    if (named->second.empty()) uuids_by_name_.erase(named);
    on_hosts->second.erase(vm);
    if (on_hosts->second.empty()) by_uuid_.erase(on_hosts);
  }
  uuids_by_host_.erase(known);
}

std::vector<VmRecord> VmIndex::OfHost(const HostId& host) const {
  std::vector<VmRecord> vms;
  const auto known = uuids_by_host_.find(host);
  if (known == uuids_by_host_.end()) return vms;
  for (const std::string& uuid : known->second) vms.push_back(by_uuid_.at(uuid).at(host));
  return vms;
}

std::vector<VmRecord> VmIndex::OnOverlay() const {
  std::vector<VmRecord> vms;
  for (const auto& [uuid, on_hosts] : by_uuid_) {
    for (const auto& [host, vm] : on_hosts) {
      if (vm.overlay) vms.push_back(vm);
    }
  }
  return vms;
}

std::vector<std::string> VmIndex::Named(absl::string_view name) const {
  std::vector<std::string> uuids;
  const auto named = uuids_by_name_.find(std::string(name));
  if (named == uuids_by_name_.end()) return uuids;
  for (const auto& [uuid, hosts] : named->second) uuids.push_back(uuid);
  return uuids;
}

std::vector<ResolvedVm> VmIndex::List() const {
  std::vector<ResolvedVm> vms;
  for (const auto& [uuid, on_hosts] : by_uuid_) {
    const VmRecord* running = Running(on_hosts);
    vms.push_back({running != nullptr ? *running : on_hosts.begin()->second, HostsOf(on_hosts)});
  }
  return vms;
}

absl::StatusOr<ResolvedVm> VmIndex::ResolveUuid(const std::string& uuid,
                                                const OnHosts& on_hosts) const {
  if (on_hosts.size() == 1) return ResolvedVm{on_hosts.begin()->second, HostsOf(on_hosts)};
  const VmRecord* running = Running(on_hosts);
  if (running == nullptr) return error::VmHostAmbiguous(uuid, HostsOf(on_hosts));
  return ResolvedVm{*running, HostsOf(on_hosts)};
}

absl::StatusOr<ResolvedVm> VmIndex::Resolve(absl::string_view spelling) const {
  if (const auto at = by_uuid_.find(absl::AsciiStrToLower(spelling)); at != by_uuid_.end()) {
    return ResolveUuid(at->first, at->second);
  }
  const std::vector<std::string> named = Named(spelling);
  if (named.empty()) return error::VmNotFound(spelling);
  if (named.size() > 1) return error::VmNameAmbiguous(spelling, named);
  return ResolveUuid(named.front(), by_uuid_.at(named.front()));
}

}  // namespace vmkeep::controller
