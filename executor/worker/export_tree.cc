#include "executor/worker/export_tree.h"

#include "common/fs/files.h"
#include "common/manifest/manifest.h"
#include "common/status_macros.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <utility>

namespace vmkeep::worker {
namespace {

class TreeReader {
 public:
  explicit TreeReader(const Refuse* refuse) : refuse_(*refuse) {}

  // `prefix`: the folder's path with a '/' behind it, or nothing for the tree itself.
  absl::Status Read(const fs::Fd& folder, const std::string& prefix, int depth) {
    VMKEEP_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs::List(folder));
    for (const std::string& name : names) VMKEEP_RETURN_IF_ERROR(Take(folder, prefix, name, depth));
    return absl::OkStatus();
  }

  ExportTree Finish() {
    std::sort(tree_.files.begin(), tree_.files.end(),
              [](const ExportFile& a, const ExportFile& b) { return a.path < b.path; });
    return std::move(tree_);
  }

 private:
  absl::Status Take(const fs::Fd& folder, const std::string& prefix, const std::string& name,
                    int depth) {
    const std::string path = prefix + name;
    if (!manifest::IsExportName(name) ||
        !manifest::IsExportPath(absl::StrCat(manifest::kExportFolder, "/", path))) {
      return refuse_(path,
                     "its name cannot be written down: it is too long, or not UTF-8, or has "
                     "a backslash or a control character");
    }
    if (depth > kMaxExportDepth)
      return refuse_(path, absl::StrCat("it lies deeper than ", kMaxExportDepth, " names"));
    if (tree_.files.size() + tree_.folders.size() >= kMaxExportEntries)
      return refuse_("", absl::StrCat("more than ", kMaxExportEntries, " files and folders"));
    VMKEEP_ASSIGN_OR_RETURN(const fs::FileInfo found, fs::GetInfoBeneath(folder, name));
    if (found.kind == fs::FileKind::kFolder) {
      tree_.folders.push_back(path);
      VMKEEP_ASSIGN_OR_RETURN(const fs::Fd below, fs::OpenDir(folder, name));
      return Read(below, path + "/", depth + 1);
    }
    if (found.kind != fs::FileKind::kFile)
      return refuse_(path, "it is neither a file nor a folder");
    if (found.names > 1) return refuse_(path, "the same file has another name too");
    tree_.files.push_back({path, found.bytes});
    return absl::OkStatus();
  }

  const Refuse& refuse_;
  ExportTree tree_;
};

}  // namespace

absl::StatusOr<ExportTree> ReadExportTree(const fs::Fd& folder, const Refuse& refuse) {
  TreeReader reader(&refuse);
  VMKEEP_RETURN_IF_ERROR(reader.Read(folder, "", 1));
  return reader.Finish();
}

}  // namespace vmkeep::worker
