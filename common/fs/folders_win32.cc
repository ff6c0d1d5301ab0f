#include "common/fs/errors.h"
#include "common/fs/files.h"
#include "common/fs/win32.h"
#include "common/status_macros.h"
#include "common/win32/text.h"

#include <winternl.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::fs {
namespace {

absl::Status RemoveEntry(const Fd& parent, const std::wstring& name, int depth);

absl::Status Empty(const Fd& folder, const std::string& name, int depth) {
  if (depth > kMaxTreeDepth) return error::TooDeep(name);
  // Passes, because what is removed goes, on some file systems, when the last handle of any process
  // is closed. Each but the last removes something, so they end.
  while (true) {
    VMKEEP_ASSIGN_OR_RETURN(const std::vector<win32::Entry> entries, win32::ReadFolder(folder));
    if (entries.empty()) return absl::OkStatus();
    bool removed_some = false;
    absl::Status first_error;
    for (const win32::Entry& entry : entries) {
      const absl::Status status = RemoveEntry(folder, entry.name, depth + 1);
      if (status.ok()) removed_some = true;
      first_error.Update(status);
    }
    if (!removed_some) return first_error;
  }
}

absl::Status RemoveEntry(const Fd& parent, const std::wstring& name, int depth) {
  const std::string narrow = Narrow(name);
  const absl::StatusOr<Fd> entry = win32::OpenEntry(parent, name, DELETE, FILE_OPEN, 0);
  absl::Status status = entry.status();
  if (error::Errno(status) == ENOENT) return absl::OkStatus();
  if (status.ok()) {
    VMKEEP_ASSIGN_OR_RETURN(const DWORD attributes, win32::Attributes(*entry, narrow));
    // A reparse point, such as a junction, is removed and not entered.
    if ((attributes & FILE_ATTRIBUTE_DIRECTORY) != 0 &&
        (attributes & FILE_ATTRIBUTE_REPARSE_POINT) == 0)
      VMKEEP_RETURN_IF_ERROR(Empty(*entry, narrow, depth));
    status = win32::Remove(*entry, narrow);
  }
  const int err = error::Errno(status);
  return err == EBUSY || err == ENOTEMPTY ? error::NotEmptied(narrow) : status;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> List(const Fd& dir) {
  VMKEEP_ASSIGN_OR_RETURN(const std::vector<win32::Entry> entries, win32::ReadFolder(dir));
  std::vector<std::string> names;
  names.reserve(entries.size());
  for (const win32::Entry& entry : entries) names.push_back(Narrow(entry.name));
  return names;
}

absl::StatusOr<bool> RemoveTree(const Fd& dir, const std::string& name) {
  VMKEEP_ASSIGN_OR_RETURN(const bool existed, Exists(dir, name));
  if (!existed) return false;
  VMKEEP_ASSIGN_OR_RETURN(const std::wstring wide, win32::ToWide(name));
  VMKEEP_RETURN_IF_ERROR(RemoveEntry(dir, wide, 0));
  return true;
}

}  // namespace vmkeep::fs
