#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_IMAGE_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_IMAGE_H_

#include "executor/hypervisor/hypervisor.h"
#include "executor/hypervisor/libvirt/qcow2_header.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <string>

// Images of the host, looked at beside a QEMU that has them open. Only what the declared format
// says is read: a guest can write any header into a raw disk (libvirt-facts.md, 5). qemu-img is no
// way: it wants the image's lock.
namespace vmkeep::executor::libvirt {

// What can be said of a disk by looking at its image and all below it: fills chain, data file,
// sizes, identity, owner and mode from `source`, `format` and `block_device`. The format of every
// image below is the one that the image above it records. kFailedPrecondition, in words that end in
// a remedy, when the disk cannot be read as what its headers say.
absl::Status InspectImage(Disk& disk);

// The header of a qcow2 file.
absl::StatusOr<Qcow2Header> ReadQcow2Header(const std::string& file);

// Whether a qcow2 file holds no data of its own, so that what it shows is all below it.
absl::StatusOr<bool> HoldsNothing(const std::string& qcow2_file);

// Puts on the disk what was written to an image. kDataLoss when the kernel says that it could not:
// asked once more, it says that all is well.
absl::Status FlushImage(const std::string& file);

// Whether two paths name one file.
bool SameFile(const std::string& one, const std::string& other);

// Whether some process holds QEMU's lock on the file.
absl::StatusOr<bool> InUse(const std::string& file);

}  // namespace vmkeep::executor::libvirt

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_IMAGE_H_
