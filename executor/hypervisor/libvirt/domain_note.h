#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_DOMAIN_NOTE_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_DOMAIN_NOTE_H_

#include "executor/hypervisor/hypervisor.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include <libvirt/libvirt.h>

#include <cstdint>
#include <optional>
#include <string>

// Numbers of ours in the metadata of a running domain. libvirt keeps them exactly as long as the
// QEMU process lives, also over its own restarts; nothing touches the definition. These run inside
// of Connection::Call().
namespace vmkeep::executor::libvirt {

// Nothing when there is none. `uri`: which note; of our own kind, such as "urn:vmkeep:what".
absl::StatusOr<std::optional<int64_t>> Noted(virDomainPtr domain, const std::string& uri);
absl::Status PutNote(virDomainPtr domain, const std::string& uri, int64_t value);
// Absent is OK.
absl::Status RemoveNote(virDomainPtr domain, const std::string& uri);

// The note that a domain's disk was put on an overlay. While it is there the disk cannot have come
// off it but by a merge: a QEMU that runs loses no writes.
std::string OnOverlayUri(const OverlayDisk& disk);

}  // namespace vmkeep::executor::libvirt

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_DOMAIN_NOTE_H_
