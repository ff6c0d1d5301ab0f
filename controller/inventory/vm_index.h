#ifndef VMKEEP_CONTROLLER_INVENTORY_VM_INDEX_H_
#define VMKEEP_CONTROLLER_INVENTORY_VM_INDEX_H_

#include "controller/domain/inventory.h"
#include "controller/inventory/inventory.h"

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace vmkeep::controller {

// The VMs of all hosts, found by UUID and by name. Not thread-safe.
class VmIndex {
 public:
  // Replaces what the host has; UUIDs in any case.
  void Replace(const HostId& host, std::vector<VmRecord> vms);
  // The host's VMs by UUID.
  std::vector<VmRecord> OfHost(const HostId& host) const;

  // Those on an overlay, one entry per host that has them.
  std::vector<VmRecord> OnOverlay() const;
  // The UUIDs of the VMs that bear this name.
  std::vector<std::string> Named(absl::string_view name) const;

  // By UUID, one entry per UUID: as the host that runs it reports it, else as the first host does.
  std::vector<ResolvedVm> List() const;
  // See Inventory::ResolveVm.
  absl::StatusOr<ResolvedVm> Resolve(absl::string_view spelling) const;

 private:
  using OnHosts = std::map<HostId, VmRecord>;

  absl::StatusOr<ResolvedVm> ResolveUuid(const std::string& uuid, const OnHosts& on_hosts) const;
  void Remove(const HostId& host);

  std::map<std::string, OnHosts> by_uuid_;
  std::map<std::string, std::map<std::string, int>, std::less<>>
      uuids_by_name_;  // name -> UUID -> on how many hosts
  std::map<HostId, std::set<std::string>> uuids_by_host_;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_INVENTORY_VM_INDEX_H_
