#include "common/utf8.h"

#include <algorithm>
#include <cstddef>

namespace vmkeep {
namespace {

struct Form {
  unsigned char first_low, first_high;    // of the first byte
  unsigned char second_low, second_high;  // of the second; those behind it are 80 to BF
  size_t bytes;
};
// The Unicode Standard's table 3-7: no surrogates, nothing beyond U+10FFFF, nothing that could be
// written shorter.
constexpr Form kForms[] = {
    {0x00, 0x7F, 0x00, 0x00, 1}, {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
    {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
    {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
};

bool In(char byte, unsigned char low, unsigned char high) {
  const auto value = static_cast<unsigned char>(byte);
  return low <= value && value <= high;
}

bool Begins(absl::string_view text, const Form& form) {
  if (!In(text[0], form.first_low, form.first_high) || text.size() < form.bytes) return false;
  if (form.bytes > 1 && !In(text[1], form.second_low, form.second_high)) return false;
  for (size_t i = 2; i < form.bytes; ++i) {
    if (!In(text[i], 0x80, 0xBF)) return false;
  }
  return true;
}

// How many bytes the character at the start of `text` has; 0 when there is none.
size_t CharacterBytes(absl::string_view text) {
  for (const Form& form : kForms) {
    if (Begins(text, form)) return form.bytes;
  }
  return 0;
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

bool IsUtf8(absl::string_view text) {
  while (!text.empty()) {
    const size_t bytes = CharacterBytes(text);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

}  // namespace vmkeep
