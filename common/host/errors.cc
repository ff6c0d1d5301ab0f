#include "common/host/errors.h"

#include "common/error.h"

#include "absl/strings/str_cat.h"

namespace vmkeep::host::error {

absl::Status StateFolderInUse(absl::string_view path) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "STATE_DIR_IN_USE",
                   absl::StrCat("another vmkeep-executor works with ", path,
                                ": stop it, or give this one another --state_dir"));
}

}  // namespace vmkeep::host::error
