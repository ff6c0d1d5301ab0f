#ifndef VMKEEP_TOOLS_VMKEEPCTL_RENDER_H_
#define VMKEEP_TOOLS_VMKEEPCTL_RENDER_H_

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include <google/protobuf/timestamp.pb.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

// Text for people: pure functions, UTF-8 in and out.
namespace vmkeep::ctl {

// `text` for a terminal: control characters, which could move the cursor or recolour the screen,
// and broken UTF-8 become
// "?". Every name and message that somebody else wrote goes through here.
std::string Printable(absl::string_view text);

// Columns that `text` takes on a terminal: 0 for a combining mark, 2 for a wide East Asian
// character or an emoji.
size_t DisplayWidth(absl::string_view text);

// The beginning of `text` that fits into `columns`; the last column is "…" when something was cut
// off.
std::string CutToWidth(absl::string_view text, size_t columns);

// Three digits and the largest IEC unit that leaves at least 1: "0 B", "1.50 GiB", "20.0 GiB", "310
// MiB".
std::string FormatBytes(int64_t bytes);

// The two largest units: "0 s", "38 s", "3 m 10 s", "2 h 05 m", "4 d 03 h". Rounds down.
std::string DurationText(absl::Duration duration);

// RFC 3339, UTC, seconds: "2026-11-23T05:40:29Z".
std::string TimeText(absl::Time time);
// "-" when there is none.
std::string TimeText(const google::protobuf::Timestamp& time, bool present);
absl::Time ToTime(const google::protobuf::Timestamp& time);

// `text` through Printable(), or "-" when it is empty.
std::string OrDash(absl::string_view text);

enum class Align { kLeft, kRight };
struct Column {
  std::string title;
  Align align = Align::kLeft;
};
using Row = std::vector<std::string>;
// Lines with a title line, columns two spaces apart, no blanks at the ends. Cells are taken as they
// are.
std::string FormatTable(const std::vector<Column>& columns, const std::vector<Row>& rows);

// "name:   value" lines with the values aligned; rows with an empty value are left out.
std::string FormatFields(const std::vector<std::pair<std::string, std::string>>& fields);

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_RENDER_H_
