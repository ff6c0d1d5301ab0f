#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_VM_LOOK_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_VM_LOOK_H_

#include "executor/hypervisor/hypervisor.h"
#include "executor/hypervisor/libvirt/connection.h"
#include "executor/hypervisor/libvirt/domain_xml.h"
#include "executor/hypervisor/libvirt/handles.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <optional>
#include <string>

// What libvirt says of one VM now. These run inside of Connection::Call().
namespace vmkeep::executor::libvirt {

struct VmLook {
  PowerState power = PowerState::kUnknown;
  int reason = 0;             // why it is in that state: virDomainPausedReason and the like
  std::string live_xml;       // empty when it is off
  std::string inactive_xml;   // empty when it is transient
  bool memory_saved = false;  // it is off, and goes on where it was saved: see SavedXml()
  std::optional<DomainXml> live;
  std::optional<DomainXml> inactive;

  bool running() const { return live.has_value(); }  // or paused: it has a QEMU
  // The XML that says where its disks are now.
  const DomainXml& now() const { return live ? *live : *inactive; }
};

absl::StatusOr<DomainHandle> FindVm(const Access& access, const std::string& vm_uuid);

// With secrets when `secure`: then the texts are never logged.
absl::StatusOr<VmLook> LookAt(virDomainPtr domain, bool secure);
absl::StatusOr<VmLook> LookAt(const Access& access, const std::string& vm_uuid, bool secure);

// CANNOT_BACK_UP, with a remedy, when the VM's memory is saved: a start would go on with the disks
// themselves, below any overlay.
absl::Status RefuseManagedSave(const VmLook& look);

// The XML that a VM with saved memory goes on with, whatever its definition says; empty for others.
absl::StatusOr<std::string> SavedXml(virDomainPtr domain);

// Whether a call on the VM is under way in libvirt, such as a snapshot that we gave up waiting for:
// what the XML says may be about to change. Answers also when QEMU hangs.
absl::StatusOr<bool> CallUnderWay(virDomainPtr domain);

}  // namespace vmkeep::executor::libvirt

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_VM_LOOK_H_
