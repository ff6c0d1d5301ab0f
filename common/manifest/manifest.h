#ifndef VMKEEP_COMMON_MANIFEST_MANIFEST_H_
#define VMKEEP_COMMON_MANIFEST_MANIFEST_H_

#include "common/error.h"
#include "vmkeep/manifest/v1/manifest.pb.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <string>
#include <vector>

// The self-description beside a backup's files. What is read came from a disk that others can
// write: nothing of it is used as a path before Check().
namespace vmkeep::manifest {

inline constexpr int kFormatVersion = 1;
inline constexpr char kFileName[] = "manifest.json";
inline constexpr size_t kMaxBytes = 4 << 20;

// Text to manifest, checked. DATA_LOSS, reason MANIFEST_INVALID; FAILED_PRECONDITION, reason
// MANIFEST_TOO_NEW, for a higher format_version, whatever else the text holds. Unknown fields are
// ignored.
absl::StatusOr<v1::Manifest> Parse(absl::string_view text);

// Manifest to text: proto3 JSON with the field names of the .proto, indented, ends with '\n'. Equal
// manifests give equal bytes. Does not check.
absl::StatusOr<std::string> Serialize(const v1::Manifest& manifest);

// What is wrong, field by field; empty when it can be used. Every id is a UUID, every file a plain
// name that occurs once, every digest complete: so all of them may become part of a path. Of
// hypervisor "hyperv" a file may also be an export path.
std::vector<FieldViolation> Check(const v1::Manifest& manifest);

// A name that may stand in a backup's folder: letters, digits, '.', '_' and '-', not starting with
// '.' or '-', at most 200 characters. No name of a file that this folder holds anyway.
bool IsPlainFileName(absl::string_view name);

// The hypervisor whose backups hold an export, and the folder with it.
inline constexpr char kExportingHypervisor[] = "hyperv";
inline constexpr char kExportFolder[] = "export";

// A name that may stand in an export: UTF-8 without '/', '\\' and control characters, not "." or
// "..", at most 765 bytes, which is what 255 characters of Windows need.
bool IsExportName(absl::string_view name);
// "export/" and such names, separated by "/"; at most 4,000 bytes: a relative path that stays in
// that folder.
bool IsExportPath(absl::string_view path);

}  // namespace vmkeep::manifest

#endif  // VMKEEP_COMMON_MANIFEST_MANIFEST_H_
