#include "tools/vmkeepctl/views.h"

#include "tools/vmkeepctl/output.h"
#include "tools/vmkeepctl/render.h"

#include "absl/strings/str_cat.h"
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace vmkeep::ctl {
namespace {

constexpr absl::Duration kLineInterval = absl::Seconds(5);
constexpr absl::Duration kDrawInterval = absl::Milliseconds(100);
constexpr absl::Duration kIdleDrawInterval = absl::Seconds(1);

std::string WhyBroken(const absl::Status& why, absl::Duration delay) {
  return absl::StrCat("lost the controller: ", Printable(why.message()), "; trying again in ",
                      delay < absl::Seconds(1) ? "a moment" : DurationText(delay));
}

// What makes a line worth writing at once.
std::string Situation(const v1::Backup& backup) {
  return absl::StrCat(backup.state(), "/", backup.progress().phase(), "/", backup.epoch(), "/",
                      ConditionsText(backup));
}

}  // namespace

Write WriteTo(int fd) {
  return [fd](absl::string_view text) {
    while (!text.empty()) {
      const ssize_t written = write(fd, text.data(), text.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return;
      text.remove_prefix(static_cast<size_t>(written));
    }
  };
}

void JsonView::Show(const v1::Backup& backup) { write_(ToJson(backup, true)); }

void LineView::Line(absl::string_view text) {
  write_(absl::StrCat(TimeText(clock_.Now()), "  ", text, "\n"));
}

void LineView::Show(const v1::Backup& backup) {
  broken_ = false;
  const absl::Duration now = clock_.Monotonic();
  std::string situation = Situation(backup);
  const auto told = told_.find(backup.id());
  const bool moves = backup.has_progress() && !IsSettled(backup);
  if (told != told_.end() && told->second.what == situation &&
      (!moves || now - told->second.at < kLineInterval)) {
    return;
  }
  told_[backup.id()] = {std::move(situation), now};
  std::string line =
      absl::StrCat(Printable(backup.id()), "  ", VmLabel(backup), "  ", Printable(backup.name()),
                   "  ", v1::Backup::State_Name(backup.state()));
  if (moves) absl::StrAppend(&line, "  ", ProgressText(backup.progress()));
  if (backup.state() == v1::Backup::UNRESOURCED) {
    absl::StrAppend(&line, "  ", Printable(backup.failure().reason()), ": ",
                    Printable(backup.failure().message()));
  }
  if (const std::string conditions = ConditionsText(backup); !conditions.empty()) {
    absl::StrAppend(&line, "  ", conditions);
  }
  Line(line);
}

void LineView::Broken(const absl::Status& why, absl::Duration delay) {
  // Once: the tries after it say nothing new.
  if (!std::exchange(broken_, true)) Line(WhyBroken(why, delay));
}

void LiveView::Show(const v1::Backup& backup) {
  trouble_.clear();
  changed_ = true;
  if (IsSettled(backup) && !keep_settled_) {
    entries_.erase(backup.id());
    const auto [done, added] = done_.try_emplace(backup.id(), backup.state());
    if (added || std::exchange(done->second, backup.state()) != backup.state()) {
      absl::StrAppend(&above_, TimeText(clock_.Now()), "  ", Summary(backup), "\n");
    }
    return;
  }
  done_.erase(backup.id());
  Entry& entry = entries_[backup.id()];
  entry.panel.Update(backup);
  entry.news = clock_.Monotonic();
}

void LiveView::Broken(const absl::Status& why, absl::Duration delay) {
  trouble_ = WhyBroken(why, delay);
  changed_ = true;
}

void LiveView::Tick() {
  const absl::Duration since = clock_.Monotonic() - drawn_at_;
  if (since >= (changed_ ? kDrawInterval : kIdleDrawInterval)) Draw();
}

void LiveView::Finish() {
  trouble_.clear();
  Draw();
  drawn_lines_ = 0;
}

std::vector<std::string> LiveView::Lines(const Size& size) const {
  std::vector<std::string> lines;
  const absl::Duration now = clock_.Monotonic();
  for (const auto& [id, entry] : entries_) {
    const absl::Duration silence =
        IsSettled(entry.panel.backup()) ? absl::ZeroDuration() : now - entry.news;
    for (std::string& line : entry.panel.Lines(size.columns, charset_, silence))
      lines.push_back(std::move(line));
  }
  // The cursor cannot go back above the first row of the screen.
  const size_t most = std::max<size_t>(size.rows, 4) - (trouble_.empty() ? 1 : 2);
  if (lines.size() > most) {
    const size_t hidden = lines.size() - (most - 1);
    lines.resize(most - 1);
    lines.push_back(CutToWidth(absl::StrCat("… and ", hidden, " more lines"), size.columns));
  }
  if (!trouble_.empty()) lines.push_back(CutToWidth(trouble_, size.columns));
  return lines;
}

void LiveView::Draw() {
  changed_ = false;
  drawn_at_ = clock_.Monotonic();
  // One column less than there are: a line that fills the last one may wrap.
  Size size = size_();
  size.columns = std::max<size_t>(size.columns, 2) - 1;
  std::string text;
  if (drawn_lines_ > 0) text = absl::StrCat("\x1b[", drawn_lines_, "A");
  // To the first column, and clear everything below.
  absl::StrAppend(&text, "\r\x1b[J", std::exchange(above_, ""));
  const std::vector<std::string> lines = Lines(size);
  for (const std::string& line : lines) absl::StrAppend(&text, line, "\n");
  drawn_lines_ = lines.size();
  write_(text);
}

}  // namespace vmkeep::ctl
