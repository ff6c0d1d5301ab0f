#include "common/fs/errors.h"

#include "common/error.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include <cerrno>
#include <cstring>
#include <string>

namespace vmkeep::fs::error {
namespace {

struct Kind {
  absl::StatusCode code = absl::StatusCode::kUnknown;
  absl::string_view reason;
};

Kind KindOf(int err) {
  switch (err) {
    case ENOENT:
    case ENOTDIR:
      return {absl::StatusCode::kNotFound, "FILE_NOT_FOUND"};
    case EEXIST:
    case ENOTEMPTY:
      return {absl::StatusCode::kAlreadyExists, "FILE_EXISTS"};
    case ENOSPC:
#ifdef EDQUOT  // mingw-w64 has none: a quota that is used up is ENOSPC there
    case EDQUOT:
#endif
      return {absl::StatusCode::kResourceExhausted, "NO_SPACE"};
    case EACCES:
    case EPERM:
    case EROFS:
      return {absl::StatusCode::kPermissionDenied, "NOT_PERMITTED"};
    case ELOOP:
    case EXDEV:
      return {absl::StatusCode::kFailedPrecondition, "PATH_LEAVES_FOLDER"};
    default:
      return {absl::StatusCode::kUnavailable, "IO_ERROR"};
  }
}

}  // namespace

absl::Status FromErrno(int err, absl::string_view doing, absl::string_view path) {
  const Kind kind = KindOf(err);
  return MakeError(kind.code, kind.reason, absl::StrCat(doing, " ", path, ": ", std::strerror(err)),
                   {{"errno", absl::StrCat(err)}, {"path", std::string(path)}});
}

absl::Status FromWindows(uint32_t code, int err, absl::string_view doing, absl::string_view path) {
  const Kind kind = KindOf(err);
  return MakeError(
      kind.code, kind.reason,
      absl::StrCat(doing, " ", path, ": ", std::strerror(err), " (Windows error ", code, ")"),
      {{"errno", absl::StrCat(err)}, {"path", std::string(path)}, {"win32", absl::StrCat(code)}});
}

int Errno(const absl::Status& status) {
  const ErrorMetadata details = ErrorDetails(status);
  const auto found = details.find("errno");
  int err = 0;
  return found != details.end() && absl::SimpleAtoi(found->second, &err) ? err : 0;
}

absl::Status TooLong(absl::string_view path, size_t max_bytes) {
  return MakeError(absl::StatusCode::kResourceExhausted, "FILE_TOO_LONG",
                   absl::StrCat(path, " is longer than ", max_bytes, " bytes"),
                   {{"path", std::string(path)}});
}

absl::Status NotPlain(absl::string_view path) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "NOT_A_PLAIN_FILE",
                   absl::StrCat(path, " is not a regular file"), {{"path", std::string(path)}});
}

absl::Status NotEmptied(absl::string_view path) {
  return MakeError(
      absl::StatusCode::kUnavailable, "FOLDER_NOT_EMPTIED",
      absl::StrCat(path,
                   " cannot be emptied: an entry stays, perhaps a file that another process still "
                   "has open; repeat when it is closed"),
      {{"path", std::string(path)}});
}

absl::Status TooDeep(absl::string_view path) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "TREE_TOO_DEEP",
                   absl::StrCat(path, " is nested deeper than anything we write: not removed"),
                   {{"path", std::string(path)}});
}

}  // namespace vmkeep::fs::error
