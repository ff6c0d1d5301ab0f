#include "tools/vmkeepctl/progress.h"

#include "tools/vmkeepctl/render.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

#include <algorithm>
#include <array>

namespace vmkeep::ctl {
namespace {

using v1::Progress;

constexpr size_t kMostBarCells = 40;
constexpr size_t kLeastBarCells = 5;
// What the text beside the bar needs before the bar grows.
constexpr size_t kLeastTextColumns = 60;
// The phase, a bar and its percentage.
constexpr size_t kLeastBarLine = 8 + 2 + kLeastBarCells + 5;
constexpr absl::Duration kLongSilence = absl::Seconds(10);

// What the phase is called beside its bar.
std::string PhaseNoun(Progress::Phase phase) {
  switch (phase) {
    case Progress::QUEUED:
      return "queue";
    case Progress::PREFLIGHT:
      return "check";
    case Progress::SNAPSHOTTING:
      return "snapshot";
    case Progress::COPYING:
      return "copy";
    case Progress::MERGING:
      return "merge";
    case Progress::PUBLISHING:
      return "publish";
    case Progress::EXPORTING:
      return "export";
    case Progress::SEALING:
      return "seal";
    case Progress::REMOVING:
      return "remove";
    default:
      return "work";
  }
}

std::string PhaseVerb(Progress::Phase phase) {
  if (phase == Progress::PHASE_UNSPECIFIED) return "working";
  return Progress::Phase_IsValid(phase) ? absl::AsciiStrToLower(Progress::Phase_Name(phase))
                                        : "working";
}

std::string DiskText(const Progress& progress) {
  if (progress.disk_count() <= 0 || progress.disk() <= 0) return {};
  return absl::StrFormat("disk %d/%d", progress.disk(), progress.disk_count());
}

std::string BytesText(const Progress& progress) {
  if (progress.bytes_total() > 0) {
    return absl::StrCat(FormatBytes(progress.bytes_done()), " of ",
                        FormatBytes(progress.bytes_total()));
  }
  return progress.bytes_done() > 0 ? FormatBytes(progress.bytes_done()) : "";
}

std::string RateText(const Progress& progress) {
  return progress.bytes_per_second() > 0
             ? absl::StrCat(FormatBytes(progress.bytes_per_second()), "/s")
             : "";
}

std::string EtaText(const Progress& progress) {
  if (!progress.has_eta()) return {};
  return absl::StrCat("ETA ", DurationText(absl::Seconds(progress.eta().seconds())));
}

std::string HolesText(const Progress& progress) {
  return progress.bytes_holes() > 0 ? absl::StrCat(FormatBytes(progress.bytes_holes()), " holes")
                                    : "";
}

// The parts after the bar, the most important first; unknown ones are left out.
std::vector<std::string> Parts(const Progress& progress, bool running) {
  std::vector<std::string> parts = {DiskText(progress), BytesText(progress)};
  if (running) {
    parts.push_back(RateText(progress));
    parts.push_back(EtaText(progress));
  }
  parts.push_back(HolesText(progress));
  parts.erase(std::remove(parts.begin(), parts.end(), ""), parts.end());
  return parts;
}

// Depends on the width alone: a bar that grew and shrank with the text beside it would not show
// progress.
size_t BarCells(size_t columns) {
  const size_t spare = columns > kLeastTextColumns ? (columns - kLeastTextColumns) / 2 : 0;
  return std::clamp(spare, kLeastBarCells, kMostBarCells);
}

bool MovesBytes(const Progress& progress) {
  return progress.bytes_total() > 0 || progress.bytes_done() > 0;
}

std::string Title(const v1::Backup& backup) {
  std::string title = absl::StrCat(VmLabel(backup), "  ", Printable(backup.name()), "  ",
                                   v1::Backup::State_Name(backup.state()));
  if (!backup.host_id().empty()) absl::StrAppend(&title, "  on ", Printable(backup.host_id()));
  if (backup.repository() != 0) absl::StrAppend(&title, "  repository ", backup.repository());
  if (backup.epoch() > 1) absl::StrAppend(&title, "  try ", backup.epoch());
  if (backup.simulated()) absl::StrAppend(&title, "  simulated");
  return title;
}

std::string SummaryOfRunning(const v1::Backup& backup) {
  std::string text = absl::StrCat(" is RUNNING: ", FormatBytes(backup.data_bytes()), " of data, ",
                                  FormatBytes(backup.stored_bytes()), " stored");
  if (!backup.host_id().empty()) {
    absl::StrAppend(&text, " by ", Printable(backup.host_id()), " in repository ",
                    backup.repository());
  }
  if (backup.consistency() != v1::Backup::CONSISTENCY_UNSPECIFIED) {
    absl::StrAppend(&text, ", consistency ", v1::Backup::Consistency_Name(backup.consistency()));
  }
  if (backup.has_time_valid())
    absl::StrAppend(&text, ", valid ", TimeText(ToTime(backup.time_valid())));
  if (backup.simulated()) absl::StrAppend(&text, ", simulated");
  return text;
}

// What a row says after its label.
std::string Situation(const v1::Backup& backup, size_t columns, Charset charset,
                      absl::Duration silence) {
  const Progress& now = backup.progress();
  if (!backup.has_progress() || IsSettled(backup)) {
    const std::string conditions = ConditionsText(backup);
    return absl::StrCat(v1::Backup::State_Name(backup.state()), conditions.empty() ? "" : "  ",
                        conditions);
  }
  std::string trouble = ConditionsText(backup);
  if (trouble.empty() && silence >= kLongSilence)
    trouble = absl::StrCat("no news for ", DurationText(silence));
  if (trouble.empty() && MovesBytes(now) && columns >= kLeastBarLine)
    return BarLine(now, true, columns, charset);
  return absl::StrFormat("%-8s  %s%s%s", PhaseNoun(now.phase()), Percent(now),
                         Percent(now).empty() || trouble.empty() ? "" : "  ", trouble);
}

}  // namespace

std::string Bar(int64_t done, int64_t total, size_t columns, Charset charset) {
  constexpr std::array kEighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const double share =
      total > 0 ? std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0)
                : 0.0;
  auto eighths = static_cast<size_t>(share * static_cast<double>(columns) * 8);
  if (done < total && columns > 0) eighths = std::min(eighths, columns * 8 - 1);
  const size_t full = eighths / 8;
  std::string bar;
  for (size_t i = 0; i < full; ++i) bar += charset == Charset::kUtf8 ? "█" : "#";
  size_t used = full;
  if (charset == Charset::kUtf8 && eighths % 8 != 0) {
    bar += kEighths[eighths % 8];
    ++used;
  }
  return bar + std::string(columns - used, charset == Charset::kUtf8 ? ' ' : '.');
}

std::string Percent(const Progress& progress) {
  if (progress.bytes_total() <= 0) return {};
  const double share =
      static_cast<double>(progress.bytes_done()) / static_cast<double>(progress.bytes_total());
  int percent = static_cast<int>(std::clamp(share, 0.0, 1.0) * 100);
  if (progress.bytes_done() < progress.bytes_total()) percent = std::min(percent, 99);
  return absl::StrCat(percent, "%");
}

std::string ProgressText(const Progress& progress) {
  std::vector<std::string> parts = Parts(progress, true);
  std::string head = PhaseVerb(progress.phase());
  if (const std::string disk = DiskText(progress); !disk.empty()) {
    absl::StrAppend(&head, " ", disk);
    parts.erase(parts.begin());
  }
  if (const std::string percent = Percent(progress); !percent.empty())
    parts.insert(parts.begin(), percent);
  parts.insert(parts.begin(), head);
  return absl::StrJoin(parts, ", ");
}

std::string BarLine(const Progress& progress, bool running, size_t columns, Charset charset) {
  const bool known = progress.bytes_total() > 0;
  std::string line = absl::StrFormat("%-8s", PhaseNoun(progress.phase()));
  if (known) {
    const bool utf8 = charset == Charset::kUtf8;
    const std::string bar =
        Bar(progress.bytes_done(), progress.bytes_total(), BarCells(columns), charset);
    absl::StrAppend(&line, utf8 ? "▕" : "[", bar, utf8 ? "▏" : "]",
                    absl::StrFormat(" %4s", Percent(progress)));
  }
  absl::string_view gap = known ? "  " : "";
  for (const std::string& part : Parts(progress, running)) {
    if (DisplayWidth(line) + gap.size() + DisplayWidth(part) > columns) break;
    absl::StrAppend(&line, gap, part);
    gap = "  ";
  }
  return CutToWidth(line, columns);
}

void BackupPanel::Update(const v1::Backup& backup) {
  if (backup.epoch() != backup_.epoch()) seen_.clear();
  backup_ = backup;
  if (backup.has_progress() && MovesBytes(backup.progress()))
    seen_[backup.progress().phase()] = backup.progress();
  // Nothing is published that was not copied whole: the last tick of the copy may have been
  // coalesced away.
  const bool copied =
      backup.state() == v1::Backup::RUNNING || backup.progress().phase() == Progress::PUBLISHING;
  for (auto& [phase, progress] : seen_) {
    if (copied) progress.set_bytes_done(progress.bytes_total());
  }
}

std::vector<std::string> BackupPanel::Lines(size_t columns, Charset charset,
                                            absl::Duration silence) const {
  std::vector<std::string> lines = {Title(backup_)};
  const Progress& now = backup_.progress();
  const bool working = backup_.has_progress() && !IsSettled(backup_);
  for (const auto& [phase, progress] : seen_) {
    const bool running = working && phase == now.phase();
    const size_t width = columns > 2 ? columns - 2 : 0;
    lines.push_back(absl::StrCat("  ", BarLine(progress, running, width, charset)));
  }
  if (working && !MovesBytes(now)) lines.push_back(absl::StrCat("  ", ProgressText(now)));
  if (const std::string text = ConditionsText(backup_); !text.empty())
    lines.push_back(absl::StrCat("  ", text));
  if (silence >= kLongSilence)
    lines.push_back(absl::StrCat("  no news for ", DurationText(silence)));
  for (std::string& line : lines) line = CutToWidth(line, columns);
  return lines;
}

std::string BackupPanel::Label() const {
  return absl::StrCat(VmLabel(backup_), "  ", Printable(backup_.name()));
}

std::string BackupPanel::Row(size_t label_columns, size_t columns, Charset charset,
                             absl::Duration silence) const {
  const std::string label = CutToWidth(Label(), label_columns);
  const std::string gap(label_columns - DisplayWidth(label) + 2, ' ');
  const size_t rest = columns > label_columns + 2 ? columns - label_columns - 2 : 0;
  return CutToWidth(absl::StrCat(label, gap, Situation(backup_, rest, charset, silence)), columns);
}

bool IsSettled(const v1::Backup& backup) {
  return backup.state() == v1::Backup::RUNNING || backup.state() == v1::Backup::UNRESOURCED ||
         backup.state() == v1::Backup::CLOSED;
}

std::string ConditionsText(const v1::Backup& backup) {
  return absl::StrJoin(
      backup.conditions(), "; ", [](std::string* out, const v1::Condition& condition) {
        absl::StrAppend(out, Printable(condition.type()), condition.message().empty() ? "" : ": ",
                        Printable(condition.message()));
      });
}

std::string Summary(const v1::Backup& backup) {
  std::string text = absl::StrCat("backup ", Printable(backup.id()), " (", Printable(backup.name()),
                                  ") of VM ", VmLabel(backup));
  if (backup.state() == v1::Backup::RUNNING) {
    absl::StrAppend(&text, SummaryOfRunning(backup));
  } else {
    absl::StrAppend(&text, " is ", v1::Backup::State_Name(backup.state()));
  }
  if (backup.state() == v1::Backup::UNRESOURCED && !backup.failure().reason().empty()) {
    absl::StrAppend(&text, ": ", Printable(backup.failure().reason()));
  }
  if (backup.state() == v1::Backup::CLOSED && !backup.scrub_level().empty()) {
    absl::StrAppend(&text, ": ", Printable(backup.scrub_level()));
  }
  return text;
}

std::string VmLabel(const v1::Backup& backup) {
  return Printable(backup.vm_name().empty() ? backup.vm_id() : backup.vm_name());
}

}  // namespace vmkeep::ctl
