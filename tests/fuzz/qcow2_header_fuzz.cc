// The start of a qcow2 file, and the names in it.
#include "executor/hypervisor/libvirt/qcow2_header.h"

#include "tests/fuzz/fuzz.h"

#include <string>

namespace vmkeep::executor::libvirt {
namespace {

std::string BigEndian(uint64_t value, int width) {
  std::string bytes(width, '\0');
  for (int i = width - 1; i >= 0; --i, value >>= 8) bytes[i] = static_cast<char>(value & 0xff);
  return bytes;
}

std::string Extension(uint32_t type, const std::string& data) {
  if (data.empty()) return {};
  return BigEndian(type, 4) + BigEndian(data.size(), 4) + data +
         std::string((8 - data.size() % 8) % 8, '\0');
}

// A version 3 header that says the same.
std::string Print(const Qcow2Header& header) {
  const std::string extensions = Extension(0xE2792ACA, header.backing_format) +
                                 Extension(0x44415441, header.data_file) + BigEndian(0, 8);
  const uint64_t name_at = header.backing_offset == 0 ? 0 : kQcow2HeaderBytes + extensions.size();
  const uint64_t features = (header.corrupt ? 2U : 0U) | (header.external_data ? 4U : 0U);
  return std::string("QFI\xFB", 4) + BigEndian(3, 4) + BigEndian(name_at, 8) +
         BigEndian(header.backing.size(), 4) + BigEndian(16, 4) +
         BigEndian(static_cast<uint64_t>(header.virtual_bytes), 8) +
         BigEndian(header.encrypted ? 1 : 0, 4) + BigEndian(header.l1_entries, 4) +
         BigEndian(header.l1_offset, 8) + std::string(12, '\0') + BigEndian(header.snapshots, 4) +
         std::string(8, '\0') + BigEndian(features, 8) + std::string(16, '\0') + BigEndian(4, 4) +
         BigEndian(kQcow2HeaderBytes, 4) + extensions + header.backing;
}

void RequireRoundTrip(const Qcow2Header& header) {
  const absl::StatusOr<Qcow2Header> again = ParseQcow2Header(Print(header));
  VMKEEP_FUZZ_REQUIRE(again.ok());
  VMKEEP_FUZZ_REQUIRE(again->virtual_bytes == header.virtual_bytes);
  VMKEEP_FUZZ_REQUIRE(again->l1_entries == header.l1_entries);
  VMKEEP_FUZZ_REQUIRE(again->l1_offset == header.l1_offset);
  VMKEEP_FUZZ_REQUIRE(again->snapshots == header.snapshots);
  VMKEEP_FUZZ_REQUIRE(again->encrypted == header.encrypted && again->corrupt == header.corrupt);
  VMKEEP_FUZZ_REQUIRE(again->external_data == header.external_data);
  VMKEEP_FUZZ_REQUIRE(again->backing == header.backing);
  VMKEEP_FUZZ_REQUIRE(again->backing_format == header.backing_format);
  VMKEEP_FUZZ_REQUIRE(again->data_file == header.data_file);
}

// A name is refused, or becomes an absolute path, as the image's is.
void TakeName(absl::string_view name) {
  const absl::StatusOr<std::string> path = ResolveImageName("/images/web.qcow2", name);
  if (path.ok()) {
    VMKEEP_FUZZ_REQUIRE(path->front() == '/' && path->find('\0') == std::string::npos);
  } else {
    VMKEEP_FUZZ_REQUIRE(fuzz::IsOneSentence(path.status()));
  }
}

void TakeBytes(absl::string_view bytes) {
  TakeName(bytes);
  const absl::StatusOr<Qcow2Header> header = ParseQcow2Header(bytes);
  fuzz::NoteAccepted(header.ok());
  if (!header.ok()) {
    VMKEEP_FUZZ_REQUIRE(fuzz::IsOneSentence(header.status()));
    return;
  }
  VMKEEP_FUZZ_REQUIRE(header->version == 2 || header->version == 3);
  VMKEEP_FUZZ_REQUIRE(header->virtual_bytes >= 0);
  RequireRoundTrip(*header);
  TakeName(header->backing);
  TakeName(header->data_file);
}

}  // namespace
}  // namespace vmkeep::executor::libvirt

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmkeep::executor::libvirt::TakeBytes(vmkeep::fuzz::ToText(data, size));
  return 0;
}
