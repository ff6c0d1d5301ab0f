#include "executor/hypervisor/libvirt/all_vms.h"

#include <cstdlib>
#include <vector>

#include "executor/hypervisor/libvirt/libvirt_error.h"

namespace vmkeep::executor::libvirt {

absl::Status ForEachVm(const Access& access, bool secure,
                       const std::function<absl::Status(const VmLook&)>& visit) {
  virDomainPtr* list = nullptr;
  const int count = virConnectListAllDomains(access.get(), &list, 0);
  if (count < 0) return LibvirtError("list the VMs");
  std::vector<DomainHandle> domains;
  for (int i = 0; i < count; ++i) domains.emplace_back(list[i]);
  std::free(list);  // NOLINT(cppcoreguidelines-no-malloc): libvirt's
  for (const DomainHandle& domain : domains) {
    const absl::StatusOr<VmLook> look = LookAt(domain.get(), secure);
    if (absl::IsNotFound(look.status())) continue;
    if (!look.ok()) return look.status();
    if (absl::Status status = visit(*look); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace vmkeep::executor::libvirt
