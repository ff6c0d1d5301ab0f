#include "executor/hypervisor/libvirt/domain_note.h"

#include "executor/hypervisor/libvirt/handles.h"
#include "executor/hypervisor/libvirt/libvirt_error.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include <libvirt/virterror.h>

namespace vmkeep::executor::libvirt {
namespace {

constexpr char kPrefix[] = "vmkeep";

bool NoSuchNote() {
  const virError* last = virGetLastError();
  return last != nullptr && last->code == VIR_ERR_NO_DOMAIN_METADATA;
}

}  // namespace

absl::StatusOr<std::optional<int64_t>> Noted(virDomainPtr domain, const std::string& uri) {
  const CText xml(virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, uri.c_str(),
                                       VIR_DOMAIN_AFFECT_LIVE));
  if (xml == nullptr) {
    if (NoSuchNote()) return std::nullopt;
    return LibvirtError("read the VM's metadata");
  }
  // Our own text: <note value='7'/>.
  for (absl::string_view part : absl::StrSplit(xml.get(), absl::ByAnyChar("'\""))) {
    int64_t value = 0;
    if (absl::SimpleAtoi(part, &value)) return value;
  }
  return std::nullopt;
}

absl::Status PutNote(virDomainPtr domain, const std::string& uri, int64_t value) {
  const std::string xml = absl::StrCat("<note value='", value, "'/>");
  if (virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, xml.c_str(), kPrefix, uri.c_str(),
                           VIR_DOMAIN_AFFECT_LIVE) != 0) {
    return LibvirtError("write the VM's metadata");
  }
  return absl::OkStatus();
}

absl::Status RemoveNote(virDomainPtr domain, const std::string& uri) {
  if (virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, nullptr, nullptr, uri.c_str(),
                           VIR_DOMAIN_AFFECT_LIVE) != 0 &&
      !NoSuchNote()) {
    return LibvirtError("write the VM's metadata");
  }
  return absl::OkStatus();
}

std::string OnOverlayUri(const OverlayDisk& disk) {
  return absl::StrCat("urn:vmkeep:on-overlay:", OverlayTask(disk.overlay), ":", disk.target);
}

}  // namespace vmkeep::executor::libvirt
