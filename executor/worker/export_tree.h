#ifndef VMKEEP_EXECUTOR_WORKER_EXPORT_TREE_H_
#define VMKEEP_EXECUTOR_WORKER_EXPORT_TREE_H_

#include "common/fs/fd.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace vmkeep::worker {

// Names on the way to a file of an export, its own included, and its files and folders together.
// What Hyper-V writes is two deep and has a few files for each checkpoint.
inline constexpr int kMaxExportDepth = 8;
inline constexpr size_t kMaxExportEntries = 10'000;

struct ExportFile {
  std::string path;  // below the tree, parts separated by '/'
  int64_t bytes = 0;
};

struct ExportTree {
  std::vector<ExportFile> files;     // sorted by path
  std::vector<std::string> folders;  // below the tree, without itself
};

// Makes the error for something at `path`, which may be empty and may be any bytes.
using Refuse = std::function<absl::Status(absl::string_view path, absl::string_view why)>;

// All that lies below an open folder. Refused: a link, also a second name of a file; anything but
// files and folders; a name that a manifest cannot hold (manifest::IsExportName); more than the
// bounds above. Other errors are those of common/fs.
absl::StatusOr<ExportTree> ReadExportTree(const fs::Fd& folder, const Refuse& refuse);

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_EXPORT_TREE_H_
