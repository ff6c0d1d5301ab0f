#ifndef VMKEEP_EXECUTOR_WORKER_PUBLISHED_H_
#define VMKEEP_EXECUTOR_WORKER_PUBLISHED_H_

#include "common/fs/fd.h"
#include "vmkeep/manifest/v1/manifest.pb.h"

#include "absl/status/statusor.h"

#include <optional>
#include <string>

namespace vmkeep::worker {

// What stands under a backup's final name.
struct Published {
  fs::Fd folder;
  std::string text;                                // of its manifest
  std::optional<manifest::v1::Manifest> manifest;  // nothing when there is none that can be read

  // Whether this very try, "<task id>.<epoch>", put it there.
  bool IsOf(const std::string& backup_id, const std::string& attempt) const;
};

// Looks in a VM's folder; nothing when the name is free.
absl::StatusOr<std::optional<Published>> FindPublished(const fs::Fd& vm,
                                                       const std::string& backup_id);

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_PUBLISHED_H_
