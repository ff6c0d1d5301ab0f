#include "common/manifest/errors.h"

#include "common/error.h"
#include "common/manifest/manifest.h"

#include "absl/strings/str_cat.h"

namespace vmkeep::manifest::error {

absl::Status NotAManifest(absl::string_view why) {
  return MakeError(absl::StatusCode::kDataLoss, "MANIFEST_INVALID",
                   absl::StrCat("manifest.json cannot be used: ", why));
}

absl::Status TooNew(double format_version) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "MANIFEST_TOO_NEW",
      absl::StrCat("manifest.json has format version ", format_version, ", this build reads up to ",
                   kFormatVersion, ": use a newer vmkeep"),
      {{"format_version", absl::StrCat(format_version)}});
}

absl::Status CannotWrite(absl::string_view why) {
  return MakeError(absl::StatusCode::kInternal, "MANIFEST_NOT_WRITTEN",
                   absl::StrCat("cannot write the manifest as JSON: ", why));
}

}  // namespace vmkeep::manifest::error
