#ifndef VMKEEP_COMMON_WIN32_TEXT_H_
#define VMKEEP_COMMON_WIN32_TEXT_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <string>
#include <string_view>

// Between our text, UTF-8, and that of Windows, UTF-16.
namespace vmkeep::win32 {

// INVALID_ARGUMENT for what is not UTF-8, and for a NUL, at which Windows would stop reading.
absl::StatusOr<std::wstring> Wide(absl::string_view utf8);

// An unpaired surrogate, which a file name may hold, becomes U+FFFD.
std::string Utf8(std::wstring_view wide);

}  // namespace vmkeep::win32

#endif  // VMKEEP_COMMON_WIN32_TEXT_H_
