#include "common/process/win32.h"

#include "common/process/errors.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include <algorithm>
#include <cstdint>

namespace vmkeep::process {

// FormatMessage() speaks the language of the machine: a number, and a word for the common ones.
std::string error::SystemText(int64_t code) {
  const auto text = [code]() -> absl::string_view {
    switch (code) {
      case ERROR_FILE_NOT_FOUND:
      case ERROR_PATH_NOT_FOUND:
        return "no such file";
      case ERROR_ACCESS_DENIED:
        return "access denied";
      case ERROR_BAD_EXE_FORMAT:
        return "no program for this system";
      case ERROR_NOT_ENOUGH_MEMORY:
      case ERROR_COMMITMENT_LIMIT:
        return "out of memory";
      case ERROR_INVALID_PARAMETER:
        return "invalid parameter";
      default:
        return "failed";
    }
  };
  return absl::StrCat(text(), " (Windows error ", code, ")");
}

DWORD WaitMillis(absl::Duration left) {
  if (left >= absl::Hours(24)) return 24 * 3600 * 1000;
  const int64_t millis = absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1)));
  return static_cast<DWORD>(std::max<int64_t>(0, millis));
}

}  // namespace vmkeep::process
