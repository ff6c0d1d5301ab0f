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
  std::vector<Disk> disks;  // target, source, format and block_device only
  std::vector<ExcludedDisk> excluded;
};

// `now` is the XML that says where the disks are: the live one, or the definition of a VM that is
// off. `inactive` is the definition of a running VM, null for a transient one. CANNOT_BACK_UP where
// a disk can neither be taken nor is to be left out.
absl::StatusOr<DiskChoice> ChooseDisks(const DomainXml& now, const DomainXml* inactive);

// The chain and data file that the images' headers tell are those that the VM's XML names, as far
// as it names them. FAILED_PRECONDITION, with a remedy, where they are not: QEMU reads what the XML
// says, and a merge offline what the headers say.
absl::Status CheckChain(const Disk& disk, const DiskXml& xml);

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
