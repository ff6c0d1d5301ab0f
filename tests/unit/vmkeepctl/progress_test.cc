#include "tools/vmkeepctl/progress.h"

#include "tools/vmkeepctl/backup_text.h"
#include "tools/vmkeepctl/render.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>

namespace vmkeep::ctl {
namespace {

using ::testing::ElementsAre;

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

// 8.4 GiB of 20 GiB, 1.2 GiB of it holes.
v1::Progress Copying() {
  return Parse<v1::Progress>(
      R"(phase: COPYING disk: 1 disk_count: 2 bytes_done: 9023000000 bytes_total: 21474836480
                                bytes_holes: 1288490189 bytes_per_second: 325058560 eta { seconds: 38 })");
}

TEST(ProgressTest, BarFillsByEighths) {
  EXPECT_EQ(Bar(0, 8, 4, Charset::kUtf8), "    ");
  EXPECT_EQ(Bar(1, 2, 4, Charset::kUtf8), "██  ");
  EXPECT_EQ(Bar(5, 8, 1, Charset::kUtf8), "▋");
  EXPECT_EQ(Bar(8, 8, 4, Charset::kUtf8), "████");
  EXPECT_EQ(Bar(9, 8, 4, Charset::kUtf8), "████");
  EXPECT_EQ(Bar(3, 0, 4, Charset::kUtf8), "    ");
  EXPECT_EQ(Bar(1, 2, 4, Charset::kAscii), "##..");
  // Full means all.
  EXPECT_EQ(Bar(999'999, 1'000'000, 4, Charset::kUtf8), "███▉");
  EXPECT_EQ(Bar(999'999, 1'000'000, 4, Charset::kAscii), "###.");
}

TEST(ProgressTest, PercentIsRoundedDown) {
  EXPECT_EQ(Percent(Copying()), "42%");
  EXPECT_EQ(Percent(Parse<v1::Progress>("bytes_done: 999999 bytes_total: 1000000")), "99%");
  EXPECT_EQ(Percent(Parse<v1::Progress>("bytes_done: 5 bytes_total: 5")), "100%");
  EXPECT_EQ(Percent(Parse<v1::Progress>("bytes_done: 5")), "");
}

TEST(ProgressTest, BarLineAtWidths) {
  const v1::Progress progress = Copying();
  EXPECT_EQ(BarLine(progress, true, 140, Charset::kUtf8),
            "copy    ▕████████████████▊                       ▏  42%  disk 1/2  8.40 GiB of 20.0 "
            "GiB  310 MiB/s  "
            "ETA 38 s  1.20 GiB holes");
  EXPECT_EQ(
      BarLine(progress, true, 100, Charset::kUtf8),
      "copy    ▕████████▍           ▏  42%  disk 1/2  8.40 GiB of 20.0 GiB  310 MiB/s  ETA 38 s");
  EXPECT_EQ(BarLine(progress, true, 80, Charset::kUtf8),
            "copy    ▕████▏     ▏  42%  disk 1/2  8.40 GiB of 20.0 GiB  310 MiB/s  ETA 38 s");
  EXPECT_EQ(BarLine(progress, true, 60, Charset::kUtf8),
            "copy    ▕██   ▏  42%  disk 1/2  8.40 GiB of 20.0 GiB");
  EXPECT_EQ(BarLine(progress, true, 30, Charset::kUtf8), "copy    ▕██   ▏  42%  disk 1/2");
  EXPECT_EQ(BarLine(progress, true, 20, Charset::kUtf8), "copy    ▕██   ▏  42%");
  EXPECT_EQ(BarLine(progress, true, 12, Charset::kUtf8), "copy    ▕██…");
  EXPECT_EQ(BarLine(progress, false, 60, Charset::kAscii),
            "copy    [##...]  42%  disk 1/2  8.40 GiB of 20.0 GiB");
}

TEST(ProgressTest, NoLineIsTooWide) {
  for (size_t columns = 0; columns < 160; ++columns) {
    EXPECT_LE(DisplayWidth(BarLine(Copying(), true, columns, Charset::kUtf8)), columns);
    EXPECT_LE(DisplayWidth(BarLine(Parse<v1::Progress>("phase: MERGING bytes_done: 7000000"), true,
                                   columns, Charset::kAscii)),
              columns);
  }
}

TEST(ProgressTest, UnknownTotalHasNoBarAndNoPercentage) {
  const auto progress = Parse<v1::Progress>(
      "phase: EXPORTING bytes_done: 3221225472 bytes_per_second: 104857600 disk: 1 disk_count: 1");
  EXPECT_EQ(BarLine(progress, true, 80, Charset::kUtf8), "export  disk 1/1  3.00 GiB  100 MiB/s");
}

TEST(ProgressTest, TextForALog) {
  EXPECT_EQ(ProgressText(Copying()),
            "copying disk 1/2, 42%, 8.40 GiB of 20.0 GiB, 310 MiB/s, ETA 38 s, 1.20 GiB holes");
  EXPECT_EQ(ProgressText(Parse<v1::Progress>("phase: SNAPSHOTTING")), "snapshotting");
  EXPECT_EQ(
      ProgressText(Parse<v1::Progress>("phase: MERGING disk: 2 disk_count: 2 bytes_done: 1048576")),
      "merging disk 2/2, 1.00 MiB");
  EXPECT_EQ(ProgressText(Parse<v1::Progress>("phase: SEALING bytes_done: 1048576")),
            "sealing, 1.00 MiB");
  // A phase of a newer controller.
  EXPECT_EQ(ProgressText(Parse<v1::Progress>("phase: 77")), "working");
}

v1::Backup Building(const std::string& progress) {
  auto backup =
      Parse<v1::Backup>(R"(id: "b1" vm_id: "web-1" name: "nightly" state: BUILDING host_id: "kvm-3"
                                     repository: 1 epoch: 1)");
  *backup.mutable_progress() = Parse<v1::Progress>(progress);
  return backup;
}

TEST(BackupPanelTest, ShowsTheMergeApartFromTheCopy) {
  BackupPanel panel;
  panel.Update(Building("phase: PREFLIGHT"));
  EXPECT_THAT(panel.Lines(80, Charset::kAscii, absl::ZeroDuration()),
              ElementsAre("web-1  nightly  BUILDING  on kvm-3  repository 1", "  preflight"));

  panel.Update(
      Building("phase: COPYING bytes_done: 1020 bytes_total: 1023 bytes_per_second: 100 eta { "
               "seconds: 1 }"));
  panel.Update(Building(
      "phase: MERGING bytes_done: 100 bytes_total: 400 bytes_per_second: 100 eta { seconds: 3 }"));
  // The copy stays as it was last seen; what was not seen is not claimed.
  EXPECT_THAT(panel.Lines(60, Charset::kAscii, absl::Seconds(12)),
              ElementsAre("web-1  nightly  BUILDING  on kvm-3  repository 1",
                          "  copy    [####.]  99%  1020 B of 1023 B",
                          "  merge   [#....]  25%  100 B of 400 B  100 B/s  ETA 3 s",
                          "  no news for 12 s"));

  // Nothing is published that was not copied whole and merged.
  panel.Update(Building("phase: PUBLISHING"));
  EXPECT_THAT(panel.Lines(60, Charset::kAscii, absl::ZeroDuration()),
              ElementsAre("web-1  nightly  BUILDING  on kvm-3  repository 1",
                          "  copy    [#####] 100%  1023 B of 1023 B",
                          "  merge   [#####] 100%  400 B of 400 B", "  publishing"));
}

TEST(BackupPanelTest, ANewTryBeginsAgain) {
  BackupPanel panel;
  panel.Update(Building("phase: COPYING bytes_done: 100 bytes_total: 400"));
  v1::Backup again = Building("phase: PREFLIGHT");
  again.set_epoch(2);
  *again.add_conditions() =
      Parse<v1::Condition>(R"(type: "HOST_UNREACHABLE" message: "no\nanswer")");
  panel.Update(again);
  EXPECT_THAT(panel.Lines(80, Charset::kAscii, absl::ZeroDuration()),
              ElementsAre("web-1  nightly  BUILDING  on kvm-3  repository 1  try 2", "  preflight",
                          "  HOST_UNREACHABLE: no?answer"));
}

TEST(SummaryTest, SaysWhatBecameOfIt) {
  auto backup = Parse<v1::Backup>(
      R"(id: "b1" vm_id: "web-1" name: "nightly" state: RUNNING data_bytes: 1073741824 stored_bytes: 1073745920
         host_id: "kvm-3" repository: 2 consistency: FILESYSTEM time_valid { seconds: 1764000000 } simulated: true)");
  EXPECT_EQ(Summary(backup),
            "backup b1 (nightly) of VM web-1 is RUNNING: 1.00 GiB of data, 1.00 GiB stored by "
            "kvm-3 in repository 2, "
            "consistency FILESYSTEM, valid 2025-11-24T16:00:00Z, simulated");
  backup.set_state(v1::Backup::CLOSED);
  backup.set_scrub_level("REMOVED");
  EXPECT_EQ(Summary(backup), "backup b1 (nightly) of VM web-1 is CLOSED: REMOVED");
  backup.set_state(v1::Backup::UNRESOURCED);
  backup.mutable_failure()->set_reason("REPOSITORY_FULL");
  EXPECT_EQ(Summary(backup), "backup b1 (nightly) of VM web-1 is UNRESOURCED: REPOSITORY_FULL");
}

TEST(BackupTextTest, TableAndFields) {
  auto backups = Parse<v1::ListBackupsResponse>(R"(
    backups { id: "b2" vm_id: "web-1" name: "n2" state: BUILDING host_id: "kvm-3" repository: 1
              create_time { seconds: 1764000000 } progress { phase: COPYING bytes_done: 42 bytes_total: 100 } }
    backups { id: "b1" vm_id: "db" name: "n1" state: UNRESOURCED create_time { seconds: 1763999000 }
              failure { reason: "REPOSITORY_FULL" message: "1 GiB is missing" phase: "COPYING" retryable: true }
              labels { key: "b" value: "2" } labels { key: "a" value: "1" } })");
  EXPECT_EQ(BackupTable(backups),
            "ID  VM     NAME  HOST   REPO  STATE        STORED  VALID  CREATED               NOTE\n"
            "b2  web-1  n2    kvm-3     1  BUILDING          -  -      2025-11-24T16:00:00Z  "
            "COPYING 42%\n"
            "b1  db     n1    -         -  UNRESOURCED       -  -      2025-11-24T15:43:20Z  "
            "REPOSITORY_FULL\n");
  EXPECT_EQ(BackupFields(backups.backups(1)),
            "id:         b1\n"
            "vm:         db\n"
            "name:       n1\n"
            "labels:     a=1, b=2\n"
            "state:      UNRESOURCED\n"
            "failure:    1 GiB is missing (REPOSITORY_FULL, phase COPYING, another try can help)\n"
            "what to do: Scrub backups that are not needed, make the repository larger, or let the "
            "next backup of this VM go to the other repository. Another try can help: \"vmkeepctl "
            "backup retry b1 --wait\". To give up: \"vmkeepctl backup scrub b1\".\n"
            "repository: not chosen yet\n"
            "created:    2025-11-24T15:43:20Z\n");
}

}  // namespace
}  // namespace vmkeep::ctl
