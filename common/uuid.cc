#include "common/uuid.h"

#include "common/random_bytes.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

#include <array>
#include <cstdint>
#include <span>

namespace vmkeep {
namespace {

using Bytes = std::array<unsigned char, 16>;

Bytes RandomBytes() {
  Bytes bytes;
  FillRandom(std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

std::string Format(Bytes bytes, unsigned char version) {
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0F) | (version << 4));
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3F) | 0x80);
  const std::string hex = absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  const absl::string_view h = hex;
  return absl::StrCat(h.substr(0, 8), "-", h.substr(8, 4), "-", h.substr(12, 4), "-",
                      h.substr(16, 4), "-", h.substr(20));
}

}  // namespace

std::string NewUuid7(absl::Time now) {
  Bytes bytes = RandomBytes();
  const uint64_t millis = static_cast<uint64_t>(absl::ToUnixMillis(now));
  for (int i = 0; i < 6; ++i) bytes[i] = static_cast<unsigned char>(millis >> (8 * (5 - i)));
  return Format(bytes, 7);
}

std::string NewUuid4() { return Format(RandomBytes(), 4); }

bool IsUuid(absl::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const char c = text[i];
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    if (dash ? c != '-' : !hex) return false;
  }
  return true;
}

}  // namespace vmkeep
