#ifndef VMKEEP_COMMON_FS_NAMES_H_
#define VMKEEP_COMMON_FS_NAMES_H_

#include "absl/strings/string_view.h"

#include <string>

// What the two systems make of names and paths, as text. Pure; files.h says which applies here.
namespace vmkeep::fs {

// Whether a name is one entry of a folder and nothing else: the calls that take a name and know no
// bound take only these.
bool IsPlainPosixName(absl::string_view name);
// The same on Windows: valid UTF-8 too, without what a name cannot hold there (also ':', which
// would name a stream, and the wildcards), a point or a space at its end (which Win32 drops: it
// would be another name's file), and the names of devices, whatever follows their first point
// (CON, NUL.txt). Microsoft, "Naming Files, Paths, and Namespaces".
bool IsPlainWindowsName(absl::string_view name);

// "C:\x", "C:/x", "\\server\share", "\\?\Volume{...}\"; not "C:x" and not "\x", which depend on a
// current folder.
bool IsAbsoluteOnWindows(absl::string_view path);
// `below`, parts separated by '/', behind a path of Windows.
std::string JoinOnWindows(absl::string_view path, absl::string_view below);

// Whether a path of GetFinalPathNameByHandle() is the root of a drive other than the system's own,
// or of a share: "\\?\P:\", "\\?\UNC\server\share".
bool IsRootOfMount(absl::string_view final_path, char system_drive);

}  // namespace vmkeep::fs

#endif  // VMKEEP_COMMON_FS_NAMES_H_
