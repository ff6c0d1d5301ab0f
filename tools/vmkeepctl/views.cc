#include "tools/vmkeepctl/views.h"

#include "tools/vmkeepctl/errors.h"
#include "tools/vmkeepctl/output.h"
#include "tools/vmkeepctl/render.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
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
  return absl::StrCat("lost the controller: ", Printable(error::WithoutGrpcWords(why.message())),
                      "; trying again in ",
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
  many_ = many_ || entries_.size() > 1;
}

void LiveView::Broken(const absl::Status& why, absl::Duration delay) {
  trouble_ = WhyBroken(why, delay);
  changed_ = true;
}

void LiveView::Restart() {
  entries_.clear();
  changed_ = true;
}

void LiveView::Tick() {
  const absl::Duration since = clock_.Monotonic() - drawn_at_;
  const Size size = size_();
  const bool resized = size.columns != drawn_size_.columns || size.rows != drawn_size_.rows;
  if (resized || since >= (changed_ ? kDrawInterval : kIdleDrawInterval)) Draw();
}

void LiveView::Finish() {
  trouble_.clear();
  Draw();
  drawn_widths_.clear();
}

absl::Duration LiveView::Silence(const Entry& entry) const {
  return IsSettled(entry.panel.backup()) ? absl::ZeroDuration() : clock_.Monotonic() - entry.news;
}

std::vector<std::string> LiveView::Rows(size_t columns, size_t rows) const {
  std::vector<const Entry*> order;
  size_t label = 0;
  for (const auto& [id, entry] : entries_) {
    order.push_back(&entry);
    label = std::max(label, DisplayWidth(entry.panel.Label()));
  }
  // The bar and its percentage come first; names longer than a quarter are cut.
  label = std::min(label, std::max<size_t>(columns / 4, 8));
  std::stable_partition(order.begin(), order.end(), [](const Entry* entry) {
    return entry->panel.backup().state() == v1::Backup::BUILDING;
  });
  const bool all = order.size() <= rows;
  std::map<std::string, size_t> hidden;  // how many by state
  std::vector<std::string> lines;
  for (const Entry* entry : order) {
    if (all || lines.size() + 1 < rows) {
      lines.push_back(entry->panel.Row(label, columns, charset_, Silence(*entry)));
    } else {
      ++hidden[v1::Backup::State_Name(entry->panel.backup().state())];
    }
  }
  if (all) return lines;
  const std::string states = absl::StrJoin(hidden, ", ", [](std::string* out, const auto& state) {
    absl::StrAppend(out, state.second, " ", state.first);
  });
  lines.push_back(
      CutToWidth(absl::StrCat("and ", order.size() - lines.size(), " more: ", states), columns));
  return lines;
}

std::vector<std::string> LiveView::Lines(size_t columns, size_t rows) const {
  // The cursor cannot go back above the first row of the screen.
  const size_t most = std::max<size_t>(rows, 4) - (trouble_.empty() ? 1 : 2);
  std::vector<std::string> lines;
  if (!many_ && entries_.size() == 1) {
    const Entry& only = entries_.begin()->second;
    lines = only.panel.Lines(columns, charset_, Silence(only));
    if (lines.size() > most) lines.resize(most);
  } else {
    lines = Rows(columns, most);
  }
  if (!trouble_.empty()) lines.push_back(CutToWidth(trouble_, columns));
  return lines;
}

size_t LiveView::DrawnRows(size_t columns) const {
  size_t rows = 0;
  for (const size_t width : drawn_widths_) rows += width == 0 ? 1 : (width + columns - 1) / columns;
  return rows;
}

void LiveView::Draw() {
  changed_ = false;
  drawn_at_ = clock_.Monotonic();
  drawn_size_ = size_();
  const size_t screen = std::max<size_t>(drawn_size_.columns, 2);
  std::string text;
  // A terminal that became narrower has wrapped what was drawn.
  if (const size_t rows = DrawnRows(screen); rows > 0) text = absl::StrCat("\x1b[", rows, "A");
  // To the first column, and clear everything below.
  absl::StrAppend(&text, "\r\x1b[J", std::exchange(above_, ""));
  drawn_widths_.clear();
  // One column less than there are: a line that fills the last one may wrap.
  for (const std::string& line : Lines(screen - 1, drawn_size_.rows)) {
    absl::StrAppend(&text, line, "\n");
    drawn_widths_.push_back(DisplayWidth(line));
  }
  write_(text);
}

}  // namespace vmkeep::ctl
