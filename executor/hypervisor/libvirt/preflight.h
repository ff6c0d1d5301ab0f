#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_PREFLIGHT_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_PREFLIGHT_H_

#include "executor/hypervisor/hypervisor.h"
#include "executor/hypervisor/libvirt/domain_xml.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <vector>

// What may be backed up, and where a disk stands: decisions over the domain's XML. Pure functions;
// errors are those of hypervisor/errors.h.
namespace vmkeep::executor::libvirt {

struct DiskChoice {
  std::vector<Disk> disks;  // target, source and format only
  std::vector<ExcludedDisk> excluded;
};

// `inactive` is null for a transient VM. CANNOT_BACK_UP where a disk is neither simple nor to be
// left out.
absl::StatusOr<DiskChoice> ChooseDisks(const DomainXml& live, const DomainXml* inactive);

// CANNOT_BACK_UP where AppArmor would deny the second commit into a base: under libvirt before 12.1
// (kvm-backup.md). `libvirt_version` as virConnectGetLibVersion has it; `allowed`: the
// administrator has let QEMU's profile write.
absl::Status CheckConfinement(const DomainXml& live, unsigned long libvirt_version, bool allowed);

// Where a disk stands in a running VM; kOffline and kMerged in a definition (`running` false).
// `bytes_*` stay 0. HYPERVISOR_ERROR or VM_ON_OVERLAY, with a remedy, where the chain is not one
// that this task made.
absl::StatusOr<MergePhase> PhaseIn(const DomainXml& domain, bool running, const OverlayDisk& disk);

}  // namespace vmkeep::executor::libvirt

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_PREFLIGHT_H_
