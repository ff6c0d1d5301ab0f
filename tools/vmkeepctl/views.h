#ifndef VMKEEP_TOOLS_VMKEEPCTL_VIEWS_H_
#define VMKEEP_TOOLS_VMKEEPCTL_VIEWS_H_

#include "common/clock.h"
#include "tools/vmkeepctl/follow.h"
#include "tools/vmkeepctl/progress.h"

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::ctl {

// Takes text to a terminal or a file, at once.
using Write = std::function<void(absl::string_view)>;
Write WriteTo(int fd);

// Shows nothing.
class SilentView : public FollowView {
 public:
  void Show(const v1::Backup&) override {}
  void Broken(const absl::Status&, absl::Duration) override {}
};

// Each backup as it comes, as a line of JSON.
class JsonView : public FollowView {
 public:
  explicit JsonView(Write write) : write_(std::move(write)) {}
  void Show(const v1::Backup& backup) override;
  void Broken(const absl::Status&, absl::Duration) override {}

 private:
  const Write write_;
};

// For logs: a line for each change of state, phase or conditions, and every 5 s while bytes move.
class LineView : public FollowView {
 public:
  LineView(Write write, Clock& clock) : write_(std::move(write)), clock_(clock) {}
  void Show(const v1::Backup& backup) override;
  void Broken(const absl::Status& why, absl::Duration delay) override;

 private:
  struct Told {
    std::string what;  // state, phase, conditions
    absl::Duration at;
  };
  void Line(absl::string_view text);

  const Write write_;
  Clock& clock_;
  std::map<std::string, Told> told_;  // by backup id
  bool broken_ = false;
};

// For a terminal, redrawn in place: a panel of one unfinished backup, a line for each of several,
// those that move first. What settles is written once above them; with `keep_settled` its panel
// stays instead, because the caller writes the summary. A changed size is seen at the next tick:
// what the terminal has wrapped meanwhile is taken back.
class LiveView : public FollowView {
 public:
  struct Size {
    size_t columns;
    size_t rows;
  };
  LiveView(Write write, std::function<Size()> size, Charset charset, Clock& clock,
           bool keep_settled)
      : write_(std::move(write)),
        size_(std::move(size)),
        charset_(charset),
        clock_(clock),
        keep_settled_(keep_settled) {}
  void Show(const v1::Backup& backup) override;
  void Broken(const absl::Status& why, absl::Duration delay) override;
  void Restart() override;
  void Tick() override;
  void Finish() override;

 private:
  struct Entry {
    BackupPanel panel;
    absl::Duration news;  // when the last came
  };
  void Draw();
  std::vector<std::string> Lines(size_t columns, size_t rows) const;
  // One line for each backup, at most `rows`.
  std::vector<std::string> Rows(size_t columns, size_t rows) const;
  absl::Duration Silence(const Entry& entry) const;
  // Rows of the screen that what is drawn takes in `columns`.
  size_t DrawnRows(size_t columns) const;

  const Write write_;
  const std::function<Size()> size_;
  const Charset charset_;
  Clock& clock_;
  const bool keep_settled_;
  std::map<std::string, Entry> entries_;           // unfinished ones, by backup id: oldest first
  std::map<std::string, v1::Backup::State> done_;  // settled ones that were written
  std::string above_;                              // to be written above the panels
  std::string trouble_;
  std::vector<size_t> drawn_widths_;  // of the lines that are on the screen
  Size drawn_size_ = {0, 0};
  bool many_ = false;  // there were several at once: lines from then on, no layout that jumps
  bool changed_ = false;
  absl::Duration drawn_at_ = -absl::InfiniteDuration();
};

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_VIEWS_H_
