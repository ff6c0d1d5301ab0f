#include "common/utf8.h"

#include <algorithm>
#include <cstddef>

namespace vmkeep {
namespace {

// How many bytes the character at the start of `text` has; 0 when there is none. The Unicode
// Standard's table 3-7: the second byte's range keeps out surrogates, what is beyond U+10FFFF, and
// what could be written shorter.
size_t CharacterBytes(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const size_t bytes = first < 0x80                     ? 1
                       : first >= 0xC2 && first <= 0xDF ? 2
                       : first >= 0xE0 && first <= 0xEF ? 3
                       : first >= 0xF0 && first <= 0xF4 ? 4
                                                        : 0;
  if (bytes > text.size()) return 0;
  for (size_t i = 1; i < bytes; ++i) {
    const unsigned char low = i > 1 ? 0x80 : first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = i > 1 ? 0xBF : first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (byte(i) < low || byte(i) > high) return 0;
  }
  return bytes;
}

}  // namespace

std::string ToUtf8(absl::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t bytes = CharacterBytes(text);
    result += bytes == 0 ? "?" : std::string(text.substr(0, bytes));
    text.remove_prefix(std::max<size_t>(1, bytes));
  }
  return result;
}

}  // namespace vmkeep
