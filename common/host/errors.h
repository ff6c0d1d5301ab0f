#ifndef VMKEEP_COMMON_HOST_ERRORS_H_
#define VMKEEP_COMMON_HOST_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace vmkeep::host::error {

absl::Status StateFolderInUse(absl::string_view path);  // kFailedPrecondition, STATE_DIR_IN_USE

}  // namespace vmkeep::host::error

#endif  // VMKEEP_COMMON_HOST_ERRORS_H_
