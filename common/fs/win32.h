#ifndef VMKEEP_COMMON_FS_WIN32_H_
#define VMKEEP_COMMON_FS_WIN32_H_

#include "common/fs/fd.h"

#include <windows.h>
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <string>
#include <string_view>
#include <vector>

// What the Windows halves of this folder share. Names are UTF-8 outside and UTF-16 inside.
namespace vmkeep::fs::win32 {

// Of one ReadFile() or WriteFile(): far below what a DWORD holds.
inline constexpr size_t kMaxStepBytes = size_t{16} << 20;

// NOT_FOUND for what is no UTF-8, which no file can be called.
absl::StatusOr<std::wstring> ToWide(absl::string_view utf8);
// The errno that stands for an error of Windows (GetLastError()); EIO for one that means nothing in
// particular to us.
int ErrnoOf(DWORD code);
absl::Status FromCode(DWORD code, absl::string_view doing, absl::string_view path);
absl::Status LastError(absl::string_view doing, absl::string_view path);

// An entry of an open folder, itself and not what it leads to (FILE_OPEN_REPARSE_POINT), by
// NtCreateFile() relative to the folder's handle. `access`, `disposition` (FILE_OPEN, FILE_CREATE)
// and `options` are those of that call; it is shared with everybody, for a rename or a removal must
// be possible beside it. `name` is plain, or empty: the folder itself.
absl::StatusOr<Fd> OpenEntry(const Fd& dir, const std::wstring& name, ACCESS_MASK access,
                             ULONG disposition, ULONG options);
// The same by a plain UTF-8 name, PATH_LEAVES_FOLDER for any other.
absl::StatusOr<Fd> OpenNamed(const Fd& dir, absl::string_view name, ACCESS_MASK access,
                             ULONG disposition, ULONG options);

// FILE_ATTRIBUTE_*.
absl::StatusOr<DWORD> Attributes(const Fd& fd, absl::string_view path);

struct Entry {
  std::wstring name;
  DWORD attributes = 0;
};
// Without "." and "..".
absl::StatusOr<std::vector<Entry>> ReadFolder(const Fd& dir);

// Where an open file or folder is, as "\\?\C:\x" or "\\?\UNC\server\share\x".
absl::StatusOr<std::wstring> FinalPath(const Fd& fd);

// Removes what is open with the rights DELETE and FILE_READ_ATTRIBUTES, a folder when it is empty.
// A read-only attribute in the way is taken off, once.
absl::Status Remove(const Fd& fd, absl::string_view name);

// Whether FlushFileBuffers() said of a folder that there is no such thing here. Nothing else may be
// taken for that.
bool HasNothingToFlush(DWORD code);

}  // namespace vmkeep::fs::win32

#endif  // VMKEEP_COMMON_FS_WIN32_H_
