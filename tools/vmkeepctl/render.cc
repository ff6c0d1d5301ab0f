#include "tools/vmkeepctl/render.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include <algorithm>
#include <array>

namespace vmkeep::ctl {
namespace {

constexpr char32_t kBroken = 0xFFFFFFFF;

// Takes one character off the front of `text`, which is not empty; kBroken and one byte where it is
// not UTF-8.
char32_t TakeCharacter(absl::string_view& text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t size = lead < 0x80             ? 1
                      : (lead & 0xE0) == 0xC0 ? 2
                      : (lead & 0xF0) == 0xE0 ? 3
                      : (lead & 0xF8) == 0xF0 ? 4
                                              : 0;
  char32_t code = size == 1 ? lead : lead & (0x7F >> size);
  bool good = size > 0 && size <= text.size();
  for (size_t i = 1; good && i < size; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    good = (next & 0xC0) == 0x80;
    code = code << 6 | (next & 0x3F);
  }
  constexpr std::array<char32_t, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};
  good = good && code >= kLeast[size] && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
  text.remove_prefix(good ? size : 1);
  return good ? code : kBroken;
}

struct Range {
  char32_t first;
  char32_t last;
};

template <size_t N>
bool IsIn(const std::array<Range, N>& ranges, char32_t code) {
  return std::any_of(ranges.begin(), ranges.end(), [code](const Range& range) {
    return range.first <= code && code <= range.last;
  });
}

// C0, DEL, C1, line separators, and the marks that turn the direction of text.
constexpr std::array kHarmful = {Range{0, 0x1F},        Range{0x7F, 0x9F},
                                 Range{0x200E, 0x200F}, Range{0x2028, 0x202E},
                                 Range{0x2066, 0x2069}, Range{0xFEFF, 0xFEFF}};
// The blocks that matter for names, not all of Unicode's tables.
constexpr std::array kCombining = {
    Range{0x300, 0x36F},   Range{0x483, 0x489},   Range{0x591, 0x5BD},   Range{0x64B, 0x65F},
    Range{0x1AB0, 0x1AFF}, Range{0x1DC0, 0x1DFF}, Range{0x200B, 0x200D}, Range{0x20D0, 0x20FF},
    Range{0xFE00, 0xFE0F}, Range{0xFE20, 0xFE2F}};
constexpr std::array kWide = {
    Range{0x1100, 0x115F},   Range{0x2E80, 0x303E},   Range{0x3041, 0xA4CF},
    Range{0xA960, 0xA97F},   Range{0xAC00, 0xD7A3},   Range{0xF900, 0xFAFF},
    Range{0xFE30, 0xFE6F},   Range{0xFF00, 0xFF60},   Range{0xFFE0, 0xFFE6},
    Range{0x1F300, 0x1F64F}, Range{0x1F680, 0x1F6FF}, Range{0x1F900, 0x1F9FF},
    Range{0x20000, 0x3FFFD}};

size_t CharacterWidth(char32_t code) {
  if (code == kBroken) return 1;
  if (IsIn(kCombining, code)) return 0;
  return IsIn(kWide, code) ? 2 : 1;
}

std::string Pad(absl::string_view text, size_t columns, Align align) {
  const size_t width = DisplayWidth(text);
  const std::string blanks(columns > width ? columns - width : 0, ' ');
  return align == Align::kLeft ? absl::StrCat(text, blanks) : absl::StrCat(blanks, text);
}

}  // namespace

std::string Printable(absl::string_view text) {
  std::string result;
  while (!text.empty()) {
    absl::string_view rest = text;
    const char32_t code = TakeCharacter(rest);
    const absl::string_view character = text.substr(0, text.size() - rest.size());
    absl::StrAppend(&result, code == kBroken || IsIn(kHarmful, code) ? "?" : character);
    text = rest;
  }
  return result;
}

size_t DisplayWidth(absl::string_view text) {
  size_t width = 0;
  while (!text.empty()) width += CharacterWidth(TakeCharacter(text));
  return width;
}

std::string CutToWidth(absl::string_view text, size_t columns) {
  if (DisplayWidth(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  size_t width = 0;
  absl::string_view rest = text;
  while (true) {
    absl::string_view next = rest;
    width += CharacterWidth(TakeCharacter(next));
    if (width > columns - 1) break;
    rest = next;
  }
  return absl::StrCat(text.substr(0, text.size() - rest.size()), "…");
}

std::string FormatBytes(int64_t bytes) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return absl::StrCat(std::max<int64_t>(bytes, 0), " B");
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  // 1023.5 would be written as 1024.
  while (value >= 1023.5 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return absl::StrFormat("%.*f %s", decimals, value, kUnits[unit]);
}

std::string DurationText(absl::Duration duration) {
  const int64_t seconds = std::max<int64_t>(absl::ToInt64Seconds(duration), 0);
  const int64_t minutes = seconds / 60;
  const int64_t hours = minutes / 60;
  if (minutes == 0) return absl::StrFormat("%d s", seconds);
  if (hours == 0) return absl::StrFormat("%d m %02d s", minutes, seconds % 60);
  if (hours < 24) return absl::StrFormat("%d h %02d m", hours, minutes % 60);
  return absl::StrFormat("%d d %02d h", hours / 24, hours % 24);
}

std::string TimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

std::string TimeText(const google::protobuf::Timestamp& time, bool present) {
  return present ? TimeText(ToTime(time)) : "-";
}

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::string OrDash(absl::string_view text) { return text.empty() ? "-" : Printable(text); }

std::string FormatTable(const std::vector<Column>& columns, const std::vector<Row>& rows) {
  Row titles;
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns.size(); ++i) {
    titles.push_back(columns[i].title);
    widths.push_back(DisplayWidth(columns[i].title));
    for (const Row& row : rows) widths[i] = std::max(widths[i], DisplayWidth(row[i]));
  }
  std::string table;
  const auto append = [&](const Row& row) {
    std::string line;
    for (size_t i = 0; i < columns.size(); ++i) {
      absl::StrAppend(&line, i == 0 ? "" : "  ", Pad(row[i], widths[i], columns[i].align));
    }
    line.resize(line.find_last_not_of(' ') + 1);
    absl::StrAppend(&table, line, "\n");
  };
  append(titles);
  for (const Row& row : rows) append(row);
  return table;
}

std::string FormatFields(const std::vector<std::pair<std::string, std::string>>& fields) {
  size_t width = 0;
  for (const auto& [name, value] : fields) {
    if (!value.empty()) width = std::max(width, DisplayWidth(name));
  }
  std::string text;
  for (const auto& [name, value] : fields) {
    if (!value.empty())
      absl::StrAppend(&text, Pad(absl::StrCat(name, ":"), width + 2, Align::kLeft), value, "\n");
  }
  return text;
}

}  // namespace vmkeep::ctl
