#include "executor/task/overlay_alerts.h"

#include "common/error.h"
#include "common/utf8.h"

#include <array>
#include <utility>

namespace vmkeep::executor {
namespace {

struct Remedy {
  absl::string_view reason;
  absl::string_view text;
};

constexpr std::array kRemedies = {
    Remedy{"BASE_NOT_FLUSHED",
           "check the storage below the disk, then the guest's file systems; remove these files "
           "when the guest is well"},
    Remedy{"UNKNOWN_OVERLAY",
           "no journal of this executor names these files: they were merged by their names, and "
           "nothing was removed; check the VM, then remove them"},
    Remedy{"VM_NOT_FOUND",
           "the hypervisor does not know the VM any more, and nothing was touched: define it "
           "again with these files as its disks, and it is merged; if it was removed for good, "
           "remove them"},
    Remedy{"OVERLAY_NOT_MERGED",
           "was the VM defined anew, or taken from an older definition? Shut it down, compare both "
           "(`qemu-img compare`), and commit the file into the disk (`qemu-img commit -d`) only if "
           "the guest did not write to the disk since; when nothing of it is missed, remove it"},
    Remedy{"OVERLAY_MISSING",
           "put the missing file back where it was, from wherever it was moved to; nothing was "
           "touched, and what the guest wrote during the backup is in that file alone"},
    Remedy{"VM_ON_OVERLAY",
           "do what the message says; the executor looks again every few seconds, and removes the "
           "files when all is as before"},
    Remedy{"HYPERVISOR_ERROR",
           "do what the message says, or ask the hypervisor's log; nothing is removed meanwhile, "
           "and the executor tries again every few seconds"},
    Remedy{"MERGE_DEADLINE",
           "do what the message says; the executor begins anew by itself, and nothing is removed "
           "meanwhile"},
    Remedy{"MERGE_OUTRUN",
           "let the guest write less for a while, or shut it down, and it is merged; an executor "
           "with --merge_suspend_for may suspend it for a moment instead"},
};

}  // namespace

std::string RemedyFor(absl::string_view reason) {
  for (const Remedy& remedy : kRemedies) {
    if (remedy.reason == reason) return std::string(remedy.text);
  }
  return "make room under these files and the disks, and see that the hypervisor answers; the "
         "executor goes on trying every few seconds, and nothing is removed meanwhile";
}

bool OverlayAlerts::Note(const std::vector<OverlayDisk>& disks, const Owner& owner,
                         const absl::Status& status) {
  const std::string reason = ReasonOrCode(status);
  if (reason == "EXECUTOR_STOPPED") return false;
  bool news = false;
  for (const OverlayDisk& disk : disks) {
    const bool changed =
        status.ok()
            ? Clear(disk.overlay)
            : Raise({disk, owner.vm_name, owner.backup_id, reason, ToUtf8(status.message())});
    news = news || changed;
  }
  if (news && changed_) changed_();
  return news;
}

bool OverlayAlerts::Raise(const OverlayAlert& alert) {
  MutexLock lock(&mu_);
  OverlayAlert& known = alerts_[alert.disk.overlay];
  const bool news = known.reason != alert.reason;
  known = alert;
  return news;
}

bool OverlayAlerts::Clear(const std::string& overlay) {
  MutexLock lock(&mu_);
  return alerts_.erase(overlay) > 0;
}

std::vector<OverlayAlert> OverlayAlerts::All() {
  std::vector<OverlayAlert> all;
  MutexLock lock(&mu_);
  all.reserve(alerts_.size());
  for (const auto& [file, alert] : alerts_) all.push_back(alert);
  return all;
}

}  // namespace vmkeep::executor
