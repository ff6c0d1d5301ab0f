#include "tools/vmkeepctl/render.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

namespace vmkeep::ctl {
namespace {

TEST(RenderTest, Bytes) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(-5), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1024), "1.00 KiB");
  EXPECT_EQ(FormatBytes(1536), "1.50 KiB");
  EXPECT_EQ(FormatBytes(10'230), "9.99 KiB");
  EXPECT_EQ(FormatBytes(10'239), "10.0 KiB");
  EXPECT_EQ(FormatBytes(20LL << 30), "20.0 GiB");
  EXPECT_EQ(FormatBytes(310LL << 20), "310 MiB");
  // Never "1024 KiB".
  EXPECT_EQ(FormatBytes((1LL << 20) - 1), "1.00 MiB");
  EXPECT_EQ(FormatBytes(1023 * 1024), "1023 KiB");
  EXPECT_EQ(FormatBytes(std::numeric_limits<int64_t>::max()), "8.00 EiB");
}

TEST(RenderTest, Durations) {
  EXPECT_EQ(DurationText(-absl::Seconds(3)), "0 s");
  EXPECT_EQ(DurationText(absl::Milliseconds(59'999)), "59 s");
  EXPECT_EQ(DurationText(absl::Seconds(190)), "3 m 10 s");
  EXPECT_EQ(DurationText(absl::Seconds(3600)), "1 h 00 m");
  EXPECT_EQ(DurationText(absl::Hours(24) - absl::Seconds(1)), "23 h 59 m");
  EXPECT_EQ(DurationText(absl::Hours(99)), "4 d 03 h");
}

TEST(RenderTest, Times) {
  google::protobuf::Timestamp time;
  time.set_seconds(1'764'000'000);
  time.set_nanos(999'999'999);
  EXPECT_EQ(TimeText(time, true), "2025-11-24T16:00:00Z");
  EXPECT_EQ(TimeText(time, false), "-");
}

TEST(RenderTest, PrintableTakesTheTeethOutOfForeignText) {
  EXPECT_EQ(Printable("plain – Zürich 東京"), "plain – Zürich 東京");
  EXPECT_EQ(Printable("a\x1b[2Jb\r\n\t\x7f"), "a?[2Jb????");
  EXPECT_EQ(Printable("\xC2\x9B"
                      "31m"),
            "?31m");  // C1: CSI in one character
  EXPECT_EQ(Printable(std::string("x\xE2\x80") + "\xAEgpj.exe"),
            "x?gpj.exe");                       // right-to-left override
  EXPECT_EQ(Printable("\xFF\xC3"), "??");       // not UTF-8, and cut off
  EXPECT_EQ(Printable("\xC0\xAF"), "??");       // overlong
  EXPECT_EQ(Printable("\xED\xA0\x80"), "???");  // a surrogate
}

TEST(RenderTest, DisplayWidth) {
  EXPECT_EQ(DisplayWidth(""), 0u);
  EXPECT_EQ(DisplayWidth("abc"), 3u);
  EXPECT_EQ(DisplayWidth("Zürich"), 6u);
  EXPECT_EQ(DisplayWidth("e\xCC\x81"), 1u);
  EXPECT_EQ(DisplayWidth("東京"), 4u);
  EXPECT_EQ(DisplayWidth("█▏"), 2u);
}

TEST(RenderTest, CutToWidth) {
  EXPECT_EQ(CutToWidth("abcdef", 6), "abcdef");
  EXPECT_EQ(CutToWidth("abcdef", 5), "abcd…");
  EXPECT_EQ(CutToWidth("東京都", 5), "東京…");
  EXPECT_EQ(CutToWidth("東京都", 4), "東…");
  EXPECT_EQ(CutToWidth("ab", 1), "…");
  EXPECT_EQ(CutToWidth("ab", 0), "");
}

TEST(RenderTest, TablesAlignByWhatIsSeen) {
  EXPECT_EQ(FormatTable({{"VM"}, {"FREE", Align::kRight}, {"NOTE"}},
                        {{"東京", "1.50 GiB", ""}, {"web-1", "9 B", "x"}}),
            "VM         FREE  NOTE\n"
            "東京   1.50 GiB\n"
            "web-1       9 B  x\n");
  EXPECT_EQ(FormatTable({{"ID"}, {"NAME"}}, {}), "ID  NAME\n");
}

TEST(RenderTest, FieldsLeaveOutWhatIsEmpty) {
  EXPECT_EQ(FormatFields({{"id", "1"}, {"a long name", ""}, {"state", "RUNNING"}}),
            "id:    1\n"
            "state: RUNNING\n");
}

}  // namespace
}  // namespace vmkeep::ctl
