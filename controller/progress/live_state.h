#ifndef VMKEEP_CONTROLLER_PROGRESS_LIVE_STATE_H_
#define VMKEEP_CONTROLLER_PROGRESS_LIVE_STATE_H_

#include "common/clock.h"
#include "common/mutex.h"
#include "controller/domain/backup.h"

#include "absl/strings/string_view.h"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace vmkeep::controller {

// A record with what lives in memory beside it.
struct BackupView {
  BackupRecord record;
  std::optional<Progress> progress;
  std::vector<Condition> conditions;
};

// Progress and conditions of unfinished work, and the condition of VMs that are still on a backup's
// overlay: in memory only, they advance no revision. Thread-safe.
class LiveState {
 public:
  explicit LiveState(Clock& clock);

  void SetProgress(const BackupId& id, const Progress& progress);
  // Keeps `since` while the type stays.
  void SetCondition(const BackupId& id, absl::string_view type, absl::string_view message);
  void ClearCondition(const BackupId& id, absl::string_view type);
  // The work ended: nothing of it stays.
  void Forget(const BackupId& id);
  // What is the case of the VMs of these backups, whatever the backups' states; of all others
  // nothing is. They stay until the next call: the end of a backup's work does not end them.
  void SetVmConditions(std::map<BackupId, Condition> conditions);

  BackupView View(BackupRecord record) const;

  // How many backups have a condition, by its type.
  std::map<std::string, int> CountConditions() const;

  // What changed: of the work under way, or of the VM.
  enum class About { kWork, kVm };
  // Called, from some thread and without a lock, after something above changed what View() answers.
  // Set once, before use.
  void OnChange(std::function<void(const BackupId&, About)> changed);

 private:
  void Changed(const BackupId& id, About about = About::kWork) const;

  struct Entry {
    std::optional<Progress> progress;
    std::map<std::string, Condition> conditions;
  };
  Clock& clock_;
  mutable Mutex mu_;
  std::map<BackupId, Entry> entries_ ABSL_GUARDED_BY(mu_);
  std::map<BackupId, Condition> vm_conditions_ ABSL_GUARDED_BY(mu_);
  std::function<void(const BackupId&, About)> changed_;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_PROGRESS_LIVE_STATE_H_
