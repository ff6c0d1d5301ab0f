#include "common/manifest/manifest.h"

#include "common/digest/digest.h"
#include "common/json_complaint.h"
#include "common/manifest/errors.h"
#include "common/status_macros.h"
#include "common/utf8.h"
#include "common/uuid.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/type_resolver_util.h>

#include <algorithm>
#include <memory>
#include <set>

namespace vmkeep::manifest {
namespace {

using google::protobuf::StringPiece;
namespace util = google::protobuf::util;

constexpr char kTypePrefix[] = "type.googleapis.com";
constexpr size_t kMaxExportNameBytes = 765;
constexpr size_t kMaxExportPathBytes = 4000;

// Unknown fields are skipped, however deep: to read them, as a google.protobuf.Struct, takes
// protobuf time that grows with the square of the depth.
template <typename Message>
absl::StatusOr<Message> Read(absl::string_view text) {
  Message message;
  util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  const auto status =
      util::JsonStringToMessage(StringPiece(text.data(), text.size()), &message, options);
  if (!status.ok()) return error::NotAManifest(JsonComplaint(std::string(status.message())));
  return message;
}

// Map entries in the order of their keys, so that equal manifests give equal bytes.
std::string DeterministicBytes(const v1::Manifest& manifest) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  manifest.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

class Checker {
 public:
  explicit Checker(bool exports) : exports_(exports) {}

  void Require(bool ok, absl::string_view field, absl::string_view what) {
    if (!ok) violations_.push_back({std::string(field), std::string(what)});
  }
  void Uuid(absl::string_view value, absl::string_view field) {
    Require(IsUuid(value), field, "must be a UUID in lower case");
  }
  void File(const std::string& name, absl::string_view field) {
    const bool in_export = exports_ && IsExportPath(name);
    const bool hides_export = exports_ && name == kExportFolder;
    Require(
        in_export || (IsPlainFileName(name) && !hides_export), field,
        exports_ ? "must be a plain file name or a path in export/" : "must be a plain file name");
    Require(names_.insert(name).second, field, "names a file that is named already");
  }
  void Bytes(int64_t value, absl::string_view field) {
    Require(value >= 0, field, "must not be negative");
  }

  void Format(const v1::Disk& disk, const std::string& field) {
    if (exports_) {
      Require(disk.format() == "vhdx" || disk.format() == "vhd", field, "must be vhdx or vhd");
      return;
    }
    Require(disk.format() == "raw" || disk.format() == "qcow2", field, "must be raw or qcow2");
    const bool flat = !disk.source().chain().empty() || !disk.source().data_file().empty();
    Require(!flat || disk.format() == "raw", field,
            "must be raw: what lay in several files is stored flat");
  }

  void Disk(const v1::Disk& disk, const std::string& at) {
    Require(IsPlainFileName(disk.target()), at + "target", "must be a disk's target, such as vda");
    Format(disk, at + "format");
    File(disk.file(), at + "file");
    Bytes(disk.virtual_bytes(), at + "virtual_bytes");
    Bytes(disk.file_bytes(), at + "file_bytes");
    Bytes(disk.data_bytes(), at + "data_bytes");
    const v1::Digest& digest = disk.digest();
    Require(digest.algorithm() == "sha256", at + "digest.algorithm", "must be sha256");
    Require(digest.chunk_bytes() == digest::kChunkBytes, at + "digest.chunk_bytes",
            "must be 4194304");
    Require(digest::IsHexDigest(digest.root()), at + "digest.root",
            "must be a SHA-256 in lower-case hex");
    Require(IsPlainFileName(digest.list_file()), at + "digest.list_file",
            "must be a plain file name");
    Require(lists_.insert(digest.list_file()).second, at + "digest.list_file",
            "belongs to another disk already");
  }

  void OtherFile(const v1::File& file, const std::string& at) {
    File(file.file(), at + "file");
    Bytes(file.bytes(), at + "bytes");
    Require(digest::IsHexDigest(file.sha256()), at + "sha256",
            "must be a SHA-256 in lower-case hex");
  }

  std::vector<FieldViolation> violations() { return std::move(violations_); }

 private:
  const bool exports_;
  std::vector<FieldViolation> violations_;
  std::set<std::string> names_;
  std::set<std::string> lists_;
};

}  // namespace

absl::StatusOr<v1::Manifest> Parse(absl::string_view text) {
  if (text.size() > kMaxBytes) return error::NotAManifest("it is too long");
  // A newer manifest may differ in anything but this field, so it is looked at by itself.
  VMKEEP_ASSIGN_OR_RETURN(const auto format, Read<v1::Format>(text));
  if (!format.has_format_version()) return error::NotAManifest("it has no format_version");
  if (format.format_version() > kFormatVersion) return error::TooNew(format.format_version());
  VMKEEP_ASSIGN_OR_RETURN(v1::Manifest manifest, Read<v1::Manifest>(text));
  const std::vector<FieldViolation> violations = Check(manifest);
  if (!violations.empty()) {
    return error::NotAManifest(absl::StrCat(violations[0].field, " ", violations[0].description));
  }
  return manifest;
}

absl::StatusOr<std::string> Serialize(const v1::Manifest& manifest) {
  const std::unique_ptr<util::TypeResolver> resolver(util::NewTypeResolverForDescriptorPool(
      kTypePrefix, google::protobuf::DescriptorPool::generated_pool()));
  util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.add_whitespace = true;
  std::string text;
  const auto status = util::BinaryToJsonString(
      resolver.get(), absl::StrCat(kTypePrefix, "/", manifest.GetTypeName()),
      DeterministicBytes(manifest), &text, options);
  if (!status.ok()) return error::CannotWrite(std::string(status.message()));
  if (text.empty() || text.back() != '\n') text.push_back('\n');
  return text;
}

std::vector<FieldViolation> Check(const v1::Manifest& manifest) {
  Checker checker(manifest.hypervisor() == kExportingHypervisor);
  checker.Require(manifest.format_version() == kFormatVersion, "format_version", "must be 1");
  checker.Uuid(manifest.backup_id(), "backup_id");
  checker.Uuid(manifest.task_id(), "task_id");
  checker.Require(manifest.epoch() > 0, "epoch", "must be positive");
  checker.Uuid(manifest.vm().uuid(), "vm.uuid");
  checker.Uuid(manifest.repository().id(), "repository.id");
  for (int i = 0; i < manifest.disks_size(); ++i)
    checker.Disk(manifest.disks(i), absl::StrCat("disks[", i, "]."));
  for (int i = 0; i < manifest.files_size(); ++i) {
    checker.OtherFile(manifest.files(i), absl::StrCat("files[", i, "]."));
  }
  return checker.violations();
}

bool IsPlainFileName(absl::string_view name) {
  if (name.empty() || name.size() > 200 || name[0] == '.' || name[0] == '-' || name == kFileName)
    return false;
  for (const char c : name) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '_' && c != '-')
      return false;
  }
  return true;
}

bool IsExportName(absl::string_view name) {
  if (name.empty() || name.size() > kMaxExportNameBytes || name == "." || name == "..")
    return false;
  for (size_t i = 0; i < name.size(); ++i) {
    const auto byte = static_cast<unsigned char>(name[i]);
    if (byte < 0x20 || byte == 0x7f || byte == '/' || byte == '\\') return false;
    // U+0080 to U+009F
    if (byte == 0xc2 && i + 1 < name.size() && static_cast<unsigned char>(name[i + 1]) < 0xa0)
      return false;
  }
  return IsUtf8(name);
}

bool IsExportPath(absl::string_view path) {
  if (path.size() > kMaxExportPathBytes) return false;
  const std::vector<absl::string_view> names = absl::StrSplit(path, '/');
  return names.size() > 1 && names[0] == kExportFolder &&
         std::all_of(names.begin() + 1, names.end(), IsExportName);
}

}  // namespace vmkeep::manifest
