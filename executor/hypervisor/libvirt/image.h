#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_IMAGE_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_IMAGE_H_

#include "executor/hypervisor/hypervisor.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <cstdint>
#include <string>

// Image files of the host, looked at beside a QEMU that has them open. Only what the declared
// format says is read: a guest can write any header into a raw disk (libvirt-facts.md, 5). qemu-img
// is no way: it wants the image's lock.
namespace vmkeep::executor::libvirt {

// The parts of a qcow2 header (QEMU's docs/interop/qcow2.txt) that decide whether a file stands for
// itself.
struct Qcow2Header {
  uint32_t version = 0;
  int64_t virtual_bytes = 0;
  uint64_t backing_offset = 0;  // 0: no backing file
  uint32_t backing_bytes = 0;
  bool encrypted = false;
  bool corrupt = false;        // QEMU itself marked it so
  bool external_data = false;  // the data is in a second file
};
inline constexpr size_t kQcow2HeaderBytes = 104;

// kInvalidArgument when these first bytes of a file are no qcow2 header.
absl::StatusOr<Qcow2Header> ParseQcow2Header(absl::string_view bytes);

// What can be said of an image by looking: fills sizes, identity, owner and mode of `disk` from
// `source` and `format`. kFailedPrecondition, in words that end in a remedy, when the image is not
// self-contained.
absl::Status InspectImage(Disk& disk);

// The name in the header of a qcow2 file; empty when it has no backing file.
absl::StatusOr<std::string> BackingName(const std::string& qcow2_file);

// Whether some process holds QEMU's lock on the file.
absl::StatusOr<bool> InUse(const std::string& file);

}  // namespace vmkeep::executor::libvirt

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_IMAGE_H_
