#ifndef VMKEEP_COMMON_MANIFEST_ERRORS_H_
#define VMKEEP_COMMON_MANIFEST_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace vmkeep::manifest::error {

absl::Status NotAManifest(absl::string_view why);  // kDataLoss, MANIFEST_INVALID
absl::Status TooNew(double format_version);        // kFailedPrecondition, MANIFEST_TOO_NEW
absl::Status CannotWrite(absl::string_view why);   // kInternal, MANIFEST_NOT_WRITTEN

}  // namespace vmkeep::manifest::error

#endif  // VMKEEP_COMMON_MANIFEST_ERRORS_H_
