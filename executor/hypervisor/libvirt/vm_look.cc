#include "executor/hypervisor/libvirt/vm_look.h"

#include "common/status_macros.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/libvirt/libvirt_error.h"

#include "absl/strings/str_cat.h"
#include <libvirt/virterror.h>

#include <array>

namespace vmkeep::executor::libvirt {
namespace {

std::string UuidOf(virDomainPtr domain) {
  std::array<char, VIR_UUID_STRING_BUFLEN> uuid = {};
  if (virDomainGetUUIDString(domain, uuid.data()) != 0) return "unknown";
  return uuid.data();
}

PowerState ToPowerState(int state) {
  switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
    case VIR_DOMAIN_SHUTDOWN:  // still going down
      return PowerState::kOn;
    case VIR_DOMAIN_PAUSED:
    case VIR_DOMAIN_PMSUSPENDED:
      return PowerState::kPaused;
    case VIR_DOMAIN_SHUTOFF:
    case VIR_DOMAIN_CRASHED:
      return PowerState::kOff;
    default:
      return PowerState::kUnknown;
  }
}

absl::StatusOr<DomainXml> Parsed(const std::string& uuid, const std::string& xml) {
  absl::StatusOr<DomainXml> domain = ParseDomain(xml);
  if (!domain.ok()) {
    return error::HypervisorFailed(absl::StrCat("read the definition of VM ", uuid),
                                   domain.status().message());
  }
  return domain;
}

absl::StatusOr<std::string> XmlOf(virDomainPtr domain, unsigned int flags) {
  const CText xml(virDomainGetXMLDesc(domain, flags));
  if (xml == nullptr) return LibvirtError("read the VM's XML", UuidOf(domain));
  return std::string(xml.get());
}

}  // namespace

absl::StatusOr<DomainHandle> FindVm(const Access& access, const std::string& vm_uuid) {
  DomainHandle domain(virDomainLookupByUUIDString(access.get(), vm_uuid.c_str()));
  if (domain == nullptr) return LibvirtError("look up the VM", vm_uuid);
  return domain;
}

absl::StatusOr<VmLook> LookAt(virDomainPtr domain, bool secure) {
  const std::string uuid = UuidOf(domain);
  const unsigned int flags = secure ? VIR_DOMAIN_XML_SECURE : 0;
  VmLook look;
  int state = 0;
  if (virDomainGetState(domain, &state, &look.reason, 0) != 0) {
    return LibvirtError("ask for the VM's state", uuid);
  }
  const int persistent = virDomainIsPersistent(domain);
  const int active = virDomainIsActive(domain);
  if (persistent < 0 || active < 0) return LibvirtError("ask for the VM's state", uuid);
  look.power = active == 0 ? PowerState::kOff : ToPowerState(state);
  if (active == 1) {
    VMKEEP_ASSIGN_OR_RETURN(look.live_xml, XmlOf(domain, flags));
    VMKEEP_ASSIGN_OR_RETURN(look.live, Parsed(uuid, look.live_xml));
  }
  if (persistent == 1) {
    VMKEEP_ASSIGN_OR_RETURN(look.inactive_xml, XmlOf(domain, flags | VIR_DOMAIN_XML_INACTIVE));
    VMKEEP_ASSIGN_OR_RETURN(look.inactive, Parsed(uuid, look.inactive_xml));
  }
  look.memory_saved = active == 0 && virDomainHasManagedSaveImage(domain, 0) == 1;
  // A transient VM that ended just now.
  if (!look.live && !look.inactive) return error::VmNotFound(uuid);
  return look;
}

absl::StatusOr<VmLook> LookAt(const Access& access, const std::string& vm_uuid, bool secure) {
  VMKEEP_ASSIGN_OR_RETURN(const DomainHandle domain, FindVm(access, vm_uuid));
  return LookAt(domain.get(), secure);
}

absl::Status RefuseManagedSave(const VmLook& look) {
  if (!look.memory_saved) return absl::OkStatus();
  return error::CannotBackUp(
      look.now().name,
      "its memory is saved (`virsh managedsave`), and it would go on with its disks in the middle "
      "of a copy: start it, or throw the saved memory away with `virsh managedsave-remove`");
}

absl::StatusOr<std::string> SavedXml(virDomainPtr domain) {
  const int saved = virDomainHasManagedSaveImage(domain, 0);
  if (saved == 0) return std::string();
  const CText xml(saved < 0 ? nullptr : virDomainManagedSaveGetXMLDesc(domain, 0));
  if (xml == nullptr) return LibvirtError("read what the VM's saved memory names", UuidOf(domain));
  return std::string(xml.get());
}

absl::StatusOr<bool> CallUnderWay(virDomainPtr domain) {
  virDomainControlInfo control = {};
  if (virDomainGetControlInfo(domain, &control, 0) != 0) {
    const virError* last = virGetLastError();
    // A VM that is off has no control interface.
    if (last != nullptr && last->code == VIR_ERR_OPERATION_INVALID) return false;
    return LibvirtError("ask what libvirt does with the VM", UuidOf(domain));
  }
  return control.state == VIR_DOMAIN_CONTROL_JOB || control.state == VIR_DOMAIN_CONTROL_OCCUPIED;
}

}  // namespace vmkeep::executor::libvirt
