#include "executor/hypervisor/libvirt/qcow2_header.h"

#include "common/status_macros.h"

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include <algorithm>
#include <limits>

namespace vmkeep::executor::libvirt {
namespace {

constexpr absl::string_view kMagic("QFI\xFB", 4);
constexpr uint64_t kIncompatibleCorrupt = uint64_t{1} << 1;
constexpr uint64_t kIncompatibleDataFile = uint64_t{1} << 2;
// QEMU's own limit of a backing file's name.
constexpr uint32_t kMaxBackingBytes = 1023;
constexpr size_t kVersionTwoBytes = 72;
constexpr uint64_t kExtensionEnd = 0;
constexpr uint64_t kExtensionBackingFormat = 0xE2792ACA;
constexpr uint64_t kExtensionDataFile = 0x44415441;

uint64_t BigEndian(absl::string_view bytes, size_t at, size_t width) {
  uint64_t value = 0;
  for (size_t i = 0; i < width; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

absl::Status ParseBackingName(absl::string_view bytes, Qcow2Header& header) {
  if (header.backing_offset == 0) return absl::OkStatus();
  if (header.backing_bytes > kMaxBackingBytes) {
    return absl::InvalidArgumentError("its header has an impossible backing file name");
  }
  if (header.backing_offset > bytes.size() ||
      bytes.size() - header.backing_offset < header.backing_bytes) {
    return absl::InvalidArgumentError("its header's backing file name is cut off");
  }
  header.backing = std::string(bytes.substr(header.backing_offset, header.backing_bytes));
  return absl::OkStatus();
}

// Type, length, data filled up to eight bytes; the name of the backing file comes behind them.
absl::Status ParseExtensions(absl::string_view bytes, size_t at, Qcow2Header& header) {
  if (header.backing_offset != 0) {
    bytes = bytes.substr(0, std::min<uint64_t>(bytes.size(), header.backing_offset));
  }
  while (bytes.size() >= at + 8) {
    const uint64_t type = BigEndian(bytes, at, 4);
    const uint64_t size = BigEndian(bytes, at + 4, 4);
    at += 8;
    if (type == kExtensionEnd) break;
    if (size > bytes.size() - at) {
      return absl::InvalidArgumentError("its header has an extension that is cut off");
    }
    const absl::string_view data = bytes.substr(at, size);
    if (type == kExtensionBackingFormat) header.backing_format = std::string(data);
    if (type == kExtensionDataFile) header.data_file = std::string(data);
    at += (size + 7) / 8 * 8;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Qcow2Header> ParseQcow2Header(absl::string_view bytes) {
  // Version 2 ends at byte 72; its images are smaller than 104 bytes only when they are damaged.
  if (bytes.size() < kQcow2HeaderBytes || bytes.substr(0, kMagic.size()) != kMagic) {
    return absl::InvalidArgumentError("it is no qcow2 image");
  }
  Qcow2Header header;
  header.version = static_cast<uint32_t>(BigEndian(bytes, 4, 4));
  if (header.version != 2 && header.version != 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("qcow2 version ", header.version, " is not known"));
  }
  header.backing_offset = BigEndian(bytes, 8, 8);
  header.backing_bytes = static_cast<uint32_t>(BigEndian(bytes, 16, 4));
  const uint64_t size = BigEndian(bytes, 24, 8);
  if (size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return absl::InvalidArgumentError("its header has an impossible size");
  }
  header.virtual_bytes = static_cast<int64_t>(size);
  header.encrypted = BigEndian(bytes, 32, 4) != 0;
  header.l1_entries = static_cast<uint32_t>(BigEndian(bytes, 36, 4));
  header.l1_offset = BigEndian(bytes, 40, 8);
  header.snapshots = static_cast<uint32_t>(BigEndian(bytes, 60, 4));
  // Version 2 has no feature bits and no length: its extensions follow at byte 72.
  const bool fields = header.version >= 3;
  const uint64_t incompatible = fields ? BigEndian(bytes, 72, 8) : 0;
  header.corrupt = (incompatible & kIncompatibleCorrupt) != 0;
  header.external_data = (incompatible & kIncompatibleDataFile) != 0;
  const size_t length = fields ? BigEndian(bytes, 100, 4) : kVersionTwoBytes;
  if (fields && length < kQcow2HeaderBytes) {
    return absl::InvalidArgumentError("its header has an impossible length");
  }
  VMKEEP_RETURN_IF_ERROR(ParseExtensions(bytes, length, header));
  VMKEEP_RETURN_IF_ERROR(ParseBackingName(bytes, header));
  return header;
}

absl::StatusOr<std::string> ResolveImageName(absl::string_view image, absl::string_view name) {
  if (name.empty() || absl::StrContains(name, '\0')) {
    return absl::InvalidArgumentError("it records no name of it");
  }
  // QEMU takes what stands before the first ':' for a protocol, unless a '/' comes earlier.
  const size_t colon = name.find(':');
  if (colon != absl::string_view::npos && colon < name.find('/')) {
    return absl::InvalidArgumentError("it records it as something else than a file's name");
  }
  if (name.front() == '/') return std::string(name);
  return absl::StrCat(image.substr(0, image.rfind('/') + 1), name);
}

}  // namespace vmkeep::executor::libvirt
