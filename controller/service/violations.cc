#include "controller/service/violations.h"

#include <cstdint>
#include <optional>

namespace vmkeep::controller {
namespace {

struct Text {
  size_t code_points = 0;
  bool blank = true;
  bool control = false;
};

constexpr uint32_t kBad = 0xFFFFFFFF;

// The code point at `at`, which moves behind it; kBad for what is no UTF-8 (RFC 3629: no overlong
// forms, no surrogates).
uint32_t NextCodePoint(absl::string_view text, size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const size_t length = lead < 0x80   ? 1
                        : lead < 0xC2 ? 0
                        : lead < 0xE0 ? 2
                        : lead < 0xF0 ? 3
                        : lead < 0xF5 ? 4
                                      : 0;
  if (length == 0 || text.size() - at < length) return kBad;
  uint32_t point = length == 1 ? lead : lead & (0xFFU >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    const auto next = static_cast<unsigned char>(text[at + i]);
    if ((next & 0xC0) != 0x80) return kBad;
    point = point << 6 | (next & 0x3F);
  }
  at += length;
  const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
  const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
  return overlong || surrogate || point > 0x10FFFF ? kBad : point;
}

// C0, DEL, C1, and the line and paragraph separators that break a log or a table.
bool IsControl(uint32_t point) {
  return point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0x2028 || point == 0x2029;
}

bool IsSpace(uint32_t point) {
  return point == ' ' || point == 0xA0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200B) ||
         point == 0x202F || point == 0x205F || point == 0x3000 || point == 0xFEFF;
}

std::optional<Text> Look(absl::string_view value) {
  Text text;
  for (size_t at = 0; at < value.size();) {
    const uint32_t point = NextCodePoint(value, at);
    if (point == kBad) return std::nullopt;
    ++text.code_points;
    text.control = text.control || IsControl(point);
    text.blank = text.blank && IsSpace(point);
  }
  return text;
}

}  // namespace

void Violations::CheckText(absl::string_view field, absl::string_view value, size_t min,
                           size_t max) {
  const std::optional<Text> text = Look(value);
  if (!text) return Add(field, "is not valid UTF-8");
  if (text->code_points > max) {
    return Add(field, absl::StrCat("has ", text->code_points, " characters; at most ", max,
                                   " are accepted"));
  }
  if (text->control) return Add(field, "has control characters; none are accepted");
  if (min > 0 && value.empty()) return Add(field, "is required");
  if (min > 0 && text->blank) return Add(field, "is blank; give at least one visible character");
}

}  // namespace vmkeep::controller
