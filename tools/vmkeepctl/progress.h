#ifndef VMKEEP_TOOLS_VMKEEPCTL_PROGRESS_H_
#define VMKEEP_TOOLS_VMKEEPCTL_PROGRESS_H_

#include "vmkeep/v1/backup.pb.h"

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <cstddef>
#include <map>
#include <string>
#include <vector>

// A backup's progress as text for people. Pure.
namespace vmkeep::ctl {

// The VM as people know it: its name on the hypervisor, else its id.
std::string VmLabel(const v1::Backup& backup);

enum class Charset { kUtf8, kAscii };

// The full part of a bar of `columns` cells, in eighths of a cell where the charset has them.
// `total` 0 means unknown: an empty bar. A bar is full only when all is done.
std::string Bar(int64_t done, int64_t total, size_t columns, Charset charset);

// "42%", rounded down, so that 100% means all; "" when the total is unknown.
std::string Percent(const v1::Progress& progress);

// "copying disk 1/2, 42%, 8.40 GiB of 20.0 GiB, 310 MiB/s, ETA 38 s, 1.20 GiB holes"; parts that
// are unknown are left out. For a log line.
std::string ProgressText(const v1::Progress& progress);

// One line with a bar, at most `columns` wide, such as
//   "copy    ▕████▏     ▏  42%  disk 1/2  8.40 GiB of 20.0 GiB  310 MiB/s  ETA 38 s"
// Where it is too narrow the last parts are left out; the bar's width depends on `columns` alone.
// With an unknown total there is no bar and no percentage. `running` false: the phase is over,
// without rate and ETA.
std::string BarLine(const v1::Progress& progress, bool running, size_t columns, Charset charset);

// What a live view shows of one backup: a title line, a bar for each phase that has moved bytes
// (the merge apart from the copy, as it has bytes of its own), a line for a phase that has none,
// and its conditions.
class BackupPanel {
 public:
  // The backup as it is now. A new epoch is a new try: its bars begin again.
  void Update(const v1::Backup& backup);
  // Lines of at most `columns`. `silence` is how long ago the last news came; it is told when it is
  // long.
  std::vector<std::string> Lines(size_t columns, Charset charset, absl::Duration silence) const;
  // All of it on one line of at most `columns`, for a list of many: the label in `label_columns`,
  // then the bar of the phase that is under way, or what holds the backup up.
  std::string Row(size_t label_columns, size_t columns, Charset charset,
                  absl::Duration silence) const;
  // "web-1  nightly": what Row() begins with.
  std::string Label() const;
  const v1::Backup& backup() const { return backup_; }

 private:
  v1::Backup backup_;
  // The last that was seen of each phase with bytes, in the order of the phases.
  std::map<v1::Progress::Phase, v1::Progress> seen_;
};

// RUNNING, UNRESOURCED or CLOSED: nothing moves without a new request.
bool IsSettled(const v1::Backup& backup);
// "HOST_UNREACHABLE: why" for each condition, joined by "; "; empty when there is none.
std::string ConditionsText(const v1::Backup& backup);
// One sentence: what became of it.
std::string Summary(const v1::Backup& backup);

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_PROGRESS_H_
