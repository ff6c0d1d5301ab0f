#ifndef VMKEEP_COMMON_FS_ERRORS_H_
#define VMKEEP_COMMON_FS_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include <cstdint>

namespace vmkeep::fs::error {

// A system call that failed with `err` while `doing` ("cannot open") something to `path`; metadata:
// errno, path.
//   ENOENT, ENOTDIR   kNotFound            FILE_NOT_FOUND
//   EEXIST, ENOTEMPTY kAlreadyExists       FILE_EXISTS
//   ENOSPC, EDQUOT    kResourceExhausted   NO_SPACE
//   EACCES, EPERM, EROFS  kPermissionDenied  NOT_PERMITTED
//   ELOOP, EXDEV      kFailedPrecondition  PATH_LEAVES_FOLDER: a link, or a way out of the folder
//   anything else     kUnavailable         IO_ERROR
absl::Status FromErrno(int err, absl::string_view doing, absl::string_view path);
// The same of an error `code` of Windows that `err` stands for; metadata: win32, too. Its number is
// all that is said of it: the system's own text is in the user's language.
absl::Status FromWindows(uint32_t code, int err, absl::string_view doing, absl::string_view path);
// The errno of such an error; 0 when it has none.
int Errno(const absl::Status& status);

absl::Status TooLong(absl::string_view path, size_t max_bytes);  // kResourceExhausted
absl::Status NotPlain(absl::string_view path);  // kFailedPrecondition: not a regular file
absl::Status NotEmptied(
    absl::string_view path);  // kUnavailable: entries stay (held open on another host)
absl::Status TooDeep(absl::string_view path);  // kFailedPrecondition: a tree that is none of ours

}  // namespace vmkeep::fs::error

#endif  // VMKEEP_COMMON_FS_ERRORS_H_
