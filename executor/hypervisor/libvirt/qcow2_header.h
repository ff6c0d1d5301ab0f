#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_QCOW2_HEADER_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_QCOW2_HEADER_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <cstddef>
#include <cstdint>
#include <string>

// The start of a qcow2 file (QEMU's docs/interop/qcow2.txt). Pure functions: any bytes are
// survived.
namespace vmkeep::executor::libvirt {

// What decides whether a file stands for itself, and on what it stands.
struct Qcow2Header {
  uint32_t version = 0;
  int64_t virtual_bytes = 0;
  uint64_t backing_offset = 0;  // 0: no backing file
  uint32_t backing_bytes = 0;
  uint32_t l1_entries = 0;
  uint64_t l1_offset = 0;
  uint32_t snapshots = 0;  // inside of the file
  bool encrypted = false;
  bool corrupt = false;        // QEMU itself marked it so
  bool external_data = false;  // the data is in a second file
  // As recorded; empty where the header does not say it, or was not given as far as there.
  std::string backing;  // a name in QEMU's words: see ResolveImageName()
  std::string backing_format;
  std::string data_file;
};

// The fields of every version.
inline constexpr size_t kQcow2HeaderBytes = 104;
// Fields, extensions and the backing file's name end before here in every image that QEMU makes:
// all three are in the first cluster, and the extensions that QEMU knows are short.
inline constexpr size_t kQcow2HeaderArea = size_t{64} << 10;

// `bytes`: the file's first ones, kQcow2HeaderArea or all there are. kInvalidArgument when they are
// no sound header.
absl::StatusOr<Qcow2Header> ParseQcow2Header(absl::string_view bytes);

// The file that a name in an image's header means: QEMU takes relative ones from the image's
// folder. kInvalidArgument, in words, for what is no file's name (nbd://…, json:{…}).
absl::StatusOr<std::string> ResolveImageName(absl::string_view image, absl::string_view name);

}  // namespace vmkeep::executor::libvirt

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_QCOW2_HEADER_H_
