#include "executor/hypervisor/libvirt/all_vms.h"

#include "executor/hypervisor/libvirt/libvirt_error.h"

#include <vector>

namespace vmkeep::executor::libvirt {

absl::Status ForEachVm(const Access& access, bool secure,
                       const std::function<absl::Status(const VmLook&)>& visit) {
  virDomainPtr* listed = nullptr;
  const int count = virConnectListAllDomains(access.get(), &listed, 0);
  if (count < 0) return LibvirtError("list the VMs");
  const DomainList list(listed);
  std::vector<DomainHandle> domains;
  domains.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) domains.emplace_back(listed[i]);
  for (const DomainHandle& domain : domains) {
    const absl::StatusOr<VmLook> look = LookAt(domain.get(), secure);
    if (absl::IsNotFound(look.status())) continue;
    if (!look.ok()) return look.status();
    if (absl::Status status = visit(*look); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace vmkeep::executor::libvirt
