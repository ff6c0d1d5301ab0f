// manifest.json: it comes from a disk that others can write.
#include "common/manifest/manifest.h"

#include "common/error.h"
#include "tests/fuzz/fuzz.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include <string>

namespace vmkeep::manifest {
namespace {

void RequireRefusal(const absl::Status& status) {
  VMKEEP_FUZZ_REQUIRE(fuzz::IsOneSentence(status));
  VMKEEP_FUZZ_REQUIRE(!fuzz::Quotes(status, fuzz::kSecret));
  const std::string reason = ErrorReason(status);
  VMKEEP_FUZZ_REQUIRE(reason == "MANIFEST_INVALID" || reason == "MANIFEST_TOO_NEW");
}

bool StaysInFolder(const v1::Manifest& manifest, const std::string& file) {
  if (IsPlainFileName(file)) return true;
  return manifest.hypervisor() == "hyperv" && absl::StartsWith(file, "export/") &&
         !absl::StrContains(absl::StrCat("/", file, "/"), "/../") &&
         !absl::StrContains(file, '\\') && !absl::StrContains(file, '\0');
}

// What becomes a part of a path is a plain name, or a path that does not leave its folder.
void RequirePlainNames(const v1::Manifest& manifest) {
  for (const v1::Disk& disk : manifest.disks()) {
    VMKEEP_FUZZ_REQUIRE(StaysInFolder(manifest, disk.file()) && IsPlainFileName(disk.target()));
    VMKEEP_FUZZ_REQUIRE(IsPlainFileName(disk.digest().list_file()));
  }
  for (const v1::File& file : manifest.files())
    VMKEEP_FUZZ_REQUIRE(StaysInFolder(manifest, file.file()));
  for (const std::string& id : {manifest.backup_id(), manifest.vm().uuid()}) {
    VMKEEP_FUZZ_REQUIRE(id.size() == 36 && IsPlainFileName(id));
  }
}

void RequireRoundTrip(const v1::Manifest& manifest) {
  const absl::StatusOr<std::string> text = Serialize(manifest);
  VMKEEP_FUZZ_REQUIRE(text.ok());
  const absl::StatusOr<v1::Manifest> again = Parse(*text);
  VMKEEP_FUZZ_REQUIRE(again.ok());
  VMKEEP_FUZZ_REQUIRE(Serialize(*again).value_or("") == *text);
}

}  // namespace
}  // namespace vmkeep::manifest

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace manifest = vmkeep::manifest;
  const auto parsed = manifest::Parse(vmkeep::fuzz::ToText(data, size));
  vmkeep::fuzz::NoteAccepted(parsed.ok());
  if (!parsed.ok()) {
    manifest::RequireRefusal(parsed.status());
    return 0;
  }
  VMKEEP_FUZZ_REQUIRE(manifest::Check(*parsed).empty());
  manifest::RequirePlainNames(*parsed);
  manifest::RequireRoundTrip(*parsed);
  return 0;
}
