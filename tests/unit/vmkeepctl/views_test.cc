#include "tools/vmkeepctl/views.h"

#include "tools/vmkeepctl/render.h"

#include "absl/strings/str_split.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::ctl {
namespace {

class ManualClock final : public Clock {
 public:
  absl::Time Now() override { return absl::FromUnixSeconds(1'764'000'000) + passed_; }
  absl::Duration Monotonic() override { return passed_; }
  bool WaitUntil(absl::Duration, const std::stop_token&) override { return true; }
  void Advance(absl::Duration duration) { passed_ += duration; }

 private:
  absl::Duration passed_;
};

v1::Backup Copying(int64_t done) {
  v1::Backup backup;
  backup.set_id("b1");
  backup.set_vm_id("web-1");
  backup.set_name("nightly");
  backup.set_state(v1::Backup::BUILDING);
  backup.mutable_progress()->set_phase(v1::Progress::COPYING);
  backup.mutable_progress()->set_bytes_done(done);
  backup.mutable_progress()->set_bytes_total(100);
  return backup;
}

v1::Backup Running() {
  v1::Backup backup = Copying(100);
  backup.set_state(v1::Backup::RUNNING);
  backup.clear_progress();
  return backup;
}

class ViewsTest : public testing::Test {
 protected:
  Write ToText() {
    return [this](absl::string_view text) { text_.append(text.data(), text.size()); };
  }
  std::string Taken() { return std::exchange(text_, ""); }

  ManualClock clock_;
  std::string text_;
};

TEST_F(ViewsTest, LinesComeOnChangesAndEveryFiveSeconds) {
  LineView view(ToText(), clock_);
  view.Show(Copying(10));
  EXPECT_EQ(Taken(),
            "2025-11-24T16:00:00Z  b1  web-1  nightly  BUILDING  copying, 10%, 10 B of 100 B\n");
  clock_.Advance(absl::Seconds(4));
  view.Show(Copying(20));
  EXPECT_EQ(Taken(), "");
  clock_.Advance(absl::Seconds(1));
  view.Show(Copying(30));
  EXPECT_EQ(Taken(),
            "2025-11-24T16:00:05Z  b1  web-1  nightly  BUILDING  copying, 30%, 30 B of 100 B\n");

  v1::Backup merging = Copying(0);
  merging.mutable_progress()->set_phase(v1::Progress::MERGING);
  view.Show(merging);
  EXPECT_EQ(Taken(),
            "2025-11-24T16:00:05Z  b1  web-1  nightly  BUILDING  merging, 0%, 0 B of 100 B\n");
  view.Show(Running());
  EXPECT_EQ(Taken(), "2025-11-24T16:00:05Z  b1  web-1  nightly  RUNNING\n");
  // Settled: a resumed stream sends it again, nobody wants to read it again.
  clock_.Advance(absl::Minutes(1));
  view.Show(Running());
  EXPECT_EQ(Taken(), "");
}

TEST_F(ViewsTest, ABrokenStreamIsToldOnce) {
  LineView view(ToText(), clock_);
  view.Broken(
      absl::UnavailableError("failed to connect to all addresses; last error: UNKNOWN: gone"),
      absl::Milliseconds(100));
  EXPECT_EQ(Taken(), "2025-11-24T16:00:00Z  lost the controller: gone; trying again in a moment\n");
  view.Broken(absl::UnavailableError("gone"), absl::Milliseconds(200));
  EXPECT_EQ(Taken(), "");
}

TEST_F(ViewsTest, LivePanelIsDrawnInPlace) {
  LiveView view(ToText(), [] { return LiveView::Size{83, 10}; }, Charset::kAscii, clock_, true);
  view.Show(Copying(10));
  view.Tick();
  EXPECT_EQ(Taken(),
            "\r\x1b[Jweb-1  nightly  BUILDING\n  copy    [#.........]  10%  10 B of 100 B\n");
  view.Show(Copying(50));
  view.Tick();
  EXPECT_EQ(Taken(), "");  // too soon
  clock_.Advance(absl::Milliseconds(100));
  view.Tick();
  EXPECT_EQ(
      Taken(),
      "\x1b[2A\r\x1b[Jweb-1  nightly  BUILDING\n  copy    [#####.....]  50%  50 B of 100 B\n");
  view.Broken(absl::UnavailableError("gone"), absl::Seconds(2));
  view.Show(Running());
  view.Finish();
  EXPECT_EQ(
      Taken(),
      "\x1b[2A\r\x1b[Jweb-1  nightly  RUNNING\n  copy    [##########] 100%  100 B of 100 B\n");
}

TEST_F(ViewsTest, WhatSettlesIsWrittenOnceAboveThePanels) {
  LiveView view(ToText(), [] { return LiveView::Size{83, 10}; }, Charset::kAscii, clock_, false);
  v1::Backup other = Copying(10);
  other.set_id("b2");
  view.Show(other);
  view.Show(Running());
  view.Show(Running());
  view.Tick();
  EXPECT_EQ(Taken(),
            "\r\x1b[J2025-11-24T16:00:00Z  backup b1 (nightly) of VM web-1 is RUNNING: 0 B of "
            "data, 0 B stored\n"
            "web-1  nightly  BUILDING\n  copy    [#.........]  10%  10 B of 100 B\n");
}

v1::Backup Named(const std::string& id, const std::string& vm, int64_t done) {
  v1::Backup backup = Copying(done);
  backup.set_id(id);
  backup.set_vm_id(vm);
  return backup;
}

TEST_F(ViewsTest, SeveralGetALineEachInColumns) {
  LiveView view(ToText(), [] { return LiveView::Size{83, 10}; }, Charset::kAscii, clock_, false);
  view.Show(Named("b1", "web-1", 10));
  view.Show(Named("b2", "database", 50));
  v1::Backup queued = Named("b0", "mail", 0);
  queued.set_state(v1::Backup::REQUESTED);
  queued.clear_progress();
  v1::Condition& waits = *queued.add_conditions();
  waits.set_type("WAITING_FOR_SLOT");
  view.Show(queued);
  view.Tick();
  // Those that move come first.
  EXPECT_EQ(Taken(),
            "\r\x1b[J"
            "web-1  nightly     copy    [.....]  10%  10 B of 100 B\n"
            "database  nightly  copy    [##...]  50%  50 B of 100 B\n"
            "mail  nightly      REQUESTED  WAITING_FOR_SLOT\n");
  // When the others are done, the last one keeps its line.
  view.Show(Running());
  v1::Backup gone = queued;
  gone.set_state(v1::Backup::CLOSED);
  view.Show(gone);
  clock_.Advance(absl::Milliseconds(100));
  view.Tick();
  EXPECT_THAT(Taken(),
              testing::EndsWith("\ndatabase  nightly  copy    [##...]  50%  50 B of 100 B\n"));
}

TEST_F(ViewsTest, LinesNeverOutgrowTheScreen) {
  LiveView view(ToText(), [] { return LiveView::Size{83, 6}; }, Charset::kAscii, clock_, false);
  for (int i = 0; i < 9; ++i) {
    v1::Backup backup = Copying(10);
    backup.set_id(std::string(1, static_cast<char>('a' + i)));
    if (i < 2) backup.set_state(v1::Backup::REQUESTED);
    view.Show(backup);
  }
  view.Tick();
  const std::string text = Taken();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 5);
  EXPECT_NE(text.find("\nand 5 more: 3 BUILDING, 2 REQUESTED\n"), std::string::npos) << text;
}

TEST_F(ViewsTest, NoLineIsWiderThanANarrowTerminal) {
  LiveView::Size size{0, 40};
  LiveView view(ToText(), [&size] { return size; }, Charset::kUtf8, clock_, false);
  view.Show(Named("b1", "a machine with a name that is long", 10));
  view.Show(Named("b2", "\u6f22\u5b57\u6f22\u5b57", 50));
  v1::Backup held = Named("b3", "mail", 0);
  held.add_conditions()->set_type("HOST_UNREACHABLE");
  view.Show(held);
  for (size.columns = 1; size.columns < 120; ++size.columns) {
    view.Tick();
    const std::string text = Taken();
    const std::vector<std::string> lines =
        absl::StrSplit(text.substr(text.find("\x1b[J") + 3), '\n');
    EXPECT_EQ(lines.size(), 4U);
    for (const std::string& line : lines)
      EXPECT_LT(DisplayWidth(line), std::max<size_t>(size.columns, 2)) << line;
    if (size.columns == 24) {
      EXPECT_NE(lines[0].find("10%"), std::string::npos) << lines[0];
    }
  }
}

TEST_F(ViewsTest, WhatANarrowerTerminalWrappedIsTakenBack) {
  LiveView::Size size{61, 20};
  LiveView view(ToText(), [&size] { return size; }, Charset::kAscii, clock_, false);
  view.Show(Named("b1", "web-1", 10));
  view.Show(Named("b2", "web-2", 10));
  view.Tick();
  const std::string first = Taken();
  const size_t width = first.find('\n') - first.find("web-1");
  EXPECT_EQ(width, 51U);
  // Each of the two lines is three rows of 20 now; that is seen at once, not with the next news.
  size.columns = 20;
  view.Tick();
  EXPECT_THAT(Taken(), testing::StartsWith("\x1b[6A\r\x1b[J"));
  size.columns = 61;
  view.Tick();
  EXPECT_THAT(Taken(), testing::StartsWith("\x1b[2A\r\x1b[J"));
}

TEST_F(ViewsTest, ARestartForgetsWhatMayBeGone) {
  LiveView view(ToText(), [] { return LiveView::Size{83, 10}; }, Charset::kAscii, clock_, false);
  view.Show(Named("b1", "web-1", 10));
  view.Show(Named("b2", "web-2", 10));
  view.Restart();
  view.Show(Named("b2", "web-2", 20));
  view.Tick();
  const std::string text = Taken();
  EXPECT_EQ(text.find("web-1"), std::string::npos) << text;
  EXPECT_NE(text.find("web-2"), std::string::npos) << text;
}

TEST_F(ViewsTest, JsonIsOneLineEach) {
  JsonView view(ToText());
  view.Show(Running());
  const std::string text = Taken();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_NE(text.find("\"vm_id\":\"web-1\""), std::string::npos);
  EXPECT_NE(text.find("\"state\":\"RUNNING\""), std::string::npos);
}

}  // namespace
}  // namespace vmkeep::ctl
