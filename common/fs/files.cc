#include "common/fs/files.h"

#include "common/fs/errors.h"
#include "common/fs/output_file.h"
#include "common/status_macros.h"

#include "absl/strings/str_split.h"

#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>

namespace vmkeep::fs {

absl::StatusOr<Fd> MakeDirs(const Fd& dir, const std::string& path, mode_t mode) {
  VMKEEP_ASSIGN_OR_RETURN(Fd at, OpenDir(dir, "."));
  for (const absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    const std::string name(part);
    VMKEEP_ASSIGN_OR_RETURN(const bool made, MakeDir(at, name, mode));
    VMKEEP_ASSIGN_OR_RETURN(Fd below, OpenDir(at, name));
    if (made) VMKEEP_RETURN_IF_ERROR(Sync(at, name));
    at = std::move(below);
  }
  return at;
}

absl::StatusOr<bool> Exists(const Fd& dir, const std::string& name) {
  const absl::StatusOr<FileInfo> found = GetInfoBeneath(dir, name);
  if (found.ok()) return true;
  if (error::Errno(found.status()) == ENOENT) return false;
  return found.status();
}

absl::StatusOr<std::string> ReadFile(const Fd& dir, const std::string& name, size_t max_bytes) {
  VMKEEP_ASSIGN_OR_RETURN(const Fd file, OpenFile(dir, name));
  constexpr size_t kStepBytes = 16384;
  std::string content;
  while (true) {
    const size_t have = content.size();
    content.resize(have + kStepBytes);
    VMKEEP_ASSIGN_OR_RETURN(const size_t got,
                            ReadAt(file, static_cast<int64_t>(have),
                                   std::as_writable_bytes(std::span(content).subspan(have)), name));
    content.resize(have + got);
    if (content.size() > max_bytes) return error::TooLong(name, max_bytes);
    if (got < kStepBytes) return content;
  }
}

absl::Status WriteFile(const Fd& dir, const std::string& name, absl::string_view content,
                       mode_t mode) {
  const std::string beside = name + ".new";
  VMKEEP_ASSIGN_OR_RETURN(OutputFile file, OutputFile::Create(dir, beside, mode));
  absl::Status status = file.WriteAt(0, content);
  if (status.ok()) status = file.Finish();
  if (status.ok()) status = Rename(dir, beside, dir, name);
  if (!status.ok()) {
    (void)Unlink(dir, beside);
    return status;
  }
  return Sync(dir, name);
}

}  // namespace vmkeep::fs
