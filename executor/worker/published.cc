#include "executor/worker/published.h"

#include "common/fs/errors.h"
#include "common/fs/files.h"
#include "common/manifest/manifest.h"
#include "common/status_macros.h"

#include "absl/strings/str_cat.h"

#include <cerrno>
#include <utility>

namespace vmkeep::worker {

bool Published::IsOf(const std::string& backup_id, const std::string& attempt) const {
  return manifest && manifest->backup_id() == backup_id &&
         absl::StrCat(manifest->task_id(), ".", manifest->epoch()) == attempt;
}

absl::StatusOr<std::optional<Published>> FindPublished(const fs::Fd& vm,
                                                       const std::string& backup_id) {
  VMKEEP_ASSIGN_OR_RETURN(const bool exists, fs::Exists(vm, backup_id));
  if (!exists) return std::nullopt;
  Published published;
  VMKEEP_ASSIGN_OR_RETURN(published.folder, fs::OpenDir(vm, backup_id));
  absl::StatusOr<std::string> text =
      fs::ReadFile(published.folder, manifest::kFileName, manifest::kMaxBytes);
  if (!text.ok() && fs::error::Errno(text.status()) != ENOENT) return text.status();
  if (!text.ok()) return published;
  published.text = *std::move(text);
  absl::StatusOr<manifest::v1::Manifest> manifest = manifest::Parse(published.text);
  if (manifest.ok()) published.manifest = *std::move(manifest);
  return published;
}

}  // namespace vmkeep::worker
