#include "common/fs/names.h"

#include "common/utf8.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

#include <algorithm>
#include <array>

namespace vmkeep::fs {
namespace {

bool IsSeparator(char c) { return c == '/' || c == '\\'; }

bool IsDeviceName(absl::string_view name) {
  constexpr std::array<absl::string_view, 6> kDevices = {"con", "prn",    "aux",
                                                         "nul", "conin$", "conout$"};
  // "nul .txt" is the device too.
  const std::string stem =
      absl::AsciiStrToLower(absl::StripTrailingAsciiWhitespace(name.substr(0, name.find('.'))));
  if (std::find(kDevices.begin(), kDevices.end(), stem) != kDevices.end()) return true;
  if (!absl::StartsWith(stem, "com") && !absl::StartsWith(stem, "lpt")) return false;
  const absl::string_view digit = absl::string_view(stem).substr(3);
  // The superscript digits count as well.
  return (digit.size() == 1 && absl::ascii_isdigit(static_cast<unsigned char>(digit[0]))) ||
         digit == "\xc2\xb9" || digit == "\xc2\xb2" || digit == "\xc2\xb3";
}

}  // namespace

bool IsPlainPosixName(absl::string_view name) {
  return !name.empty() && name != "." && name != ".." && !absl::StrContains(name, '/');
}

bool IsPlainWindowsName(absl::string_view name) {
  if (name.empty() || name.back() == '.' || name.back() == ' ' || !IsUtf8(name)) return false;
  const bool clean = std::none_of(name.begin(), name.end(), [](unsigned char c) {
    return c < 0x20 || absl::StrContains("\\/:*?\"<>|", static_cast<char>(c));
  });
  return clean && !IsDeviceName(name);
}

bool IsAbsoluteOnWindows(absl::string_view path) {
  if (path.size() >= 3 && absl::ascii_isalpha(static_cast<unsigned char>(path[0])) &&
      path[1] == ':')
    return IsSeparator(path[2]);
  return path.size() >= 3 && IsSeparator(path[0]) && IsSeparator(path[1]) && !IsSeparator(path[2]);
}

std::string JoinOnWindows(absl::string_view path, absl::string_view below) {
  const bool closed = !path.empty() && IsSeparator(path.back());
  return absl::StrCat(path, closed ? "" : "\\", absl::StrReplaceAll(below, {{"/", "\\"}}));
}

bool IsRootOfMount(absl::string_view final_path, char system_drive) {
  if (!absl::ConsumePrefix(&final_path, R"(\\?\)")) return false;
  absl::ConsumeSuffix(&final_path, R"(\)");
  if (absl::ConsumePrefix(&final_path, R"(UNC\)"))
    return std::count(final_path.begin(), final_path.end(), '\\') == 1;
  const auto folded = [](char c) { return absl::ascii_tolower(static_cast<unsigned char>(c)); };
  return final_path.size() == 2 && final_path[1] == ':' &&
         folded(final_path[0]) != folded(system_drive);
}

}  // namespace vmkeep::fs
