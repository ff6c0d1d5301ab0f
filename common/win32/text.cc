#include "common/win32/text.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include <windows.h>

namespace vmkeep::win32 {

absl::StatusOr<std::wstring> Wide(absl::string_view utf8) {
  if (utf8.find('\0') != absl::string_view::npos)
    return absl::InvalidArgumentError("text with a NUL byte");
  if (utf8.empty()) return std::wstring();
  const auto bytes = static_cast<int>(utf8.size());
  const int length =
      MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, utf8.data(), bytes, nullptr, 0);
  if (length <= 0) return absl::InvalidArgumentError("text that is not UTF-8");
  std::wstring wide(static_cast<size_t>(length), L'\0');
  MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, utf8.data(), bytes, wide.data(), length);
  return wide;
}

std::string Utf8(std::wstring_view wide) {
  if (wide.empty()) return "";
  const auto units = static_cast<int>(wide.size());
  const int length =
      WideCharToMultiByte(CP_UTF8, 0, wide.data(), units, nullptr, 0, nullptr, nullptr);
  std::string utf8(static_cast<size_t>(length), '\0');
  WideCharToMultiByte(CP_UTF8, 0, wide.data(), units, utf8.data(), length, nullptr, nullptr);
  return utf8;
}

}  // namespace vmkeep::win32
