#include "tools/vmkeepctl/views.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>

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
  view.Broken(absl::UnavailableError("gone"), absl::Milliseconds(100));
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

TEST_F(ViewsTest, APanelNeverOutgrowsTheScreen) {
  LiveView view(ToText(), [] { return LiveView::Size{83, 6}; }, Charset::kAscii, clock_, false);
  for (int i = 0; i < 5; ++i) {
    v1::Backup backup = Copying(10);
    backup.set_id(std::string(1, static_cast<char>('a' + i)));
    view.Show(backup);
  }
  view.Tick();
  const std::string text = Taken();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 5);
  EXPECT_NE(text.find("… and 6 more lines\n"), std::string::npos) << text;
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
