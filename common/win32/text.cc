#include "common/win32/text.h"

#include <windows.h>
#include <shellapi.h>

#include <cstdint>
#include <limits>

namespace vmkeep {
namespace {

bool IsHigh(wchar_t c) { return c >= 0xD800 && c < 0xDC00; }
bool IsLow(wchar_t c) { return c >= 0xDC00 && c < 0xE000; }

void Append(uint32_t c, std::string* out) {
  const auto byte = [out](uint32_t value) { out->push_back(static_cast<char>(value)); };
  if (c < 0x80) return byte(c);
  if (c < 0x800) {
    byte(0xC0 | (c >> 6));
  } else if (c < 0x10000) {
    byte(0xE0 | (c >> 12));
    byte(0x80 | ((c >> 6) & 0x3F));
  } else {
    byte(0xF0 | (c >> 18));
    byte(0x80 | ((c >> 12) & 0x3F));
    byte(0x80 | ((c >> 6) & 0x3F));
  }
  byte(0x80 | (c & 0x3F));
}

}  // namespace

std::optional<std::wstring> Widen(absl::string_view utf8) {
  if (utf8.empty()) return std::wstring();
  if (utf8.find('\0') != absl::string_view::npos) return std::nullopt;
  if (utf8.size() > static_cast<size_t>(std::numeric_limits<int>::max())) return std::nullopt;
  const int bytes = static_cast<int>(utf8.size());
  const int units =
      MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, utf8.data(), bytes, nullptr, 0);
  if (units <= 0) return std::nullopt;
  std::wstring wide(static_cast<size_t>(units), L'\0');
  MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, utf8.data(), bytes, wide.data(), units);
  return wide;
}

std::string Narrow(std::wstring_view wide) {
  std::string narrow;
  for (size_t i = 0; i < wide.size(); ++i) {
    uint32_t c = wide[i];
    if (IsHigh(wide[i]) && i + 1 < wide.size() && IsLow(wide[i + 1])) {
      c = 0x10000 + ((c - 0xD800) << 10) + (static_cast<uint32_t>(wide[i + 1]) - 0xDC00);
      ++i;
    }
    Append(c, &narrow);
  }
  return narrow;
}

std::vector<std::string> CommandLineArguments() {
  int count = 0;
  wchar_t** const wide = CommandLineToArgvW(GetCommandLineW(), &count);
  std::vector<std::string> arguments;
  for (int i = 0; i < count; ++i) arguments.push_back(Narrow(wide[i]));
  LocalFree(wide);
  return arguments;
}

}  // namespace vmkeep
