#include "executor/worker/remove.h"

#include "common/error.h"
#include "common/fault_point/fault_point.h"
#include "common/fs/files.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "executor/worker/published.h"
#include "executor/worker/repository.h"

#include "absl/strings/str_cat.h"

#include <optional>
#include <string>

namespace vmkeep::worker {
namespace {

// `where` tells the fault points apart: discard, scrub, or the leftovers of an earlier scrub.
absl::StatusOr<bool> RemoveAndFlush(const fs::Fd& parent, const std::string& name,
                                    absl::string_view where) {
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.remove.unlink.before", where));
  VMKEEP_ASSIGN_OR_RETURN(const bool existed, fs::RemoveTree(parent, name));
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.remove.unlink.after", where));
  // Flushed when there was nothing too: a killed run may have removed it without.
  VMKEEP_RETURN_IF_ERROR(fs::Sync(parent, name));
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.remove.flush.after", where));
  return existed;
}

absl::StatusOr<bool> ScrubBackup(const RepositoryRoot& root, const v1::Scrub& job,
                                 JobContext* context) {
  VMKEEP_ASSIGN_OR_RETURN(const fs::Fd scrub, root.Scrub());
  VMKEEP_ASSIGN_OR_RETURN(const std::optional<fs::Fd> vm, root.FindVm(job.vm_uuid()));
  const std::string away = absl::StrCat(job.vm_uuid(), ".", job.backup_id());
  VMKEEP_ASSIGN_OR_RETURN(const bool left_over, RemoveAndFlush(scrub, away, "earlier scrub"));
  if (!vm) return left_over;
  VMKEEP_ASSIGN_OR_RETURN(const bool published, fs::Exists(*vm, job.backup_id()));
  if (!published) {
    VMKEEP_RETURN_IF_ERROR(fs::Sync(*vm, job.vm_uuid()));
    VMKEEP_RETURN_IF_ERROR(root.RemoveVmIfEmpty(job.vm_uuid()));
    return left_over;
  }
  VMKEEP_RETURN_IF_ERROR(context->CheckCancelled());
  // First out of sight in one step: nobody ever sees half a backup.
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.scrub.rename.before"));
  VMKEEP_RETURN_IF_ERROR(fs::Rename(*vm, job.backup_id(), scrub, away));
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.scrub.rename.after"));
  VMKEEP_RETURN_IF_ERROR(fs::Sync(*vm, job.vm_uuid()));
  VMKEEP_RETURN_IF_ERROR(fs::Sync(scrub, ".scrub"));
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.scrub.flush-parents.after"));
  VMKEEP_RETURN_IF_ERROR(RemoveAndFlush(scrub, away, "scrub").status());
  VMKEEP_RETURN_IF_ERROR(root.RemoveVmIfEmpty(job.vm_uuid()));
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.scrub.remove-vm-folder.after"));
  return true;
}

// Whether what is published under the backup's id is of the try "<task>.<epoch>".
absl::StatusOr<bool> PublishedBy(const RepositoryRoot& root, const v1::Discard& job) {
  VMKEEP_ASSIGN_OR_RETURN(const std::optional<fs::Fd> vm, root.FindVm(job.vm_uuid()));
  if (!vm) return false;
  VMKEEP_ASSIGN_OR_RETURN(const std::optional<Published> found,
                          FindPublished(*vm, job.backup_id()));
  return found && found->IsOf(job.backup_id(), job.incoming());
}

absl::StatusOr<bool> DiscardTry(const RepositoryRoot& root, const v1::Discard& job,
                                JobContext* context) {
  VMKEEP_ASSIGN_OR_RETURN(const fs::Fd incoming, root.Incoming());
  VMKEEP_ASSIGN_OR_RETURN(const bool existed, RemoveAndFlush(incoming, job.incoming(), "discard"));
  VMKEEP_ASSIGN_OR_RETURN(const bool published, PublishedBy(root, job));
  if (!published) return existed;
  v1::Scrub scrub;
  scrub.set_vm_uuid(job.vm_uuid());
  scrub.set_backup_id(job.backup_id());
  return ScrubBackup(root, scrub, context);
}

absl::Status CheckIds(const std::string& vm_uuid, const std::string& backup_id) {
  if (!IsUuid(vm_uuid)) return InvalidArgument("vm_uuid", "must be a UUID in lower case");
  if (!IsUuid(backup_id)) return InvalidArgument("backup_id", "must be a UUID in lower case");
  return absl::OkStatus();
}

v1::RemoveResult ToResult(bool existed) {
  v1::RemoveResult result;
  result.set_existed(existed);
  return result;
}

}  // namespace

absl::StatusOr<v1::RemoveResult> Discard(const v1::Discard& job, JobContext* context) {
  VMKEEP_RETURN_IF_ERROR(CheckIncomingName(job.incoming()));
  VMKEEP_RETURN_IF_ERROR(CheckIds(job.vm_uuid(), job.backup_id()));
  VMKEEP_ASSIGN_OR_RETURN(const RepositoryRoot root, RepositoryRoot::Open(job.repository()));
  const absl::StatusOr<bool> existed = DiscardTry(root, job, context);
  if (!existed.ok()) return root.Wrap(existed.status());
  return ToResult(*existed);
}

absl::StatusOr<v1::RemoveResult> Scrub(const v1::Scrub& job, JobContext* context) {
  VMKEEP_RETURN_IF_ERROR(CheckIds(job.vm_uuid(), job.backup_id()));
  VMKEEP_ASSIGN_OR_RETURN(const RepositoryRoot root, RepositoryRoot::Open(job.repository()));
  const absl::StatusOr<bool> existed = ScrubBackup(root, job, context);
  if (!existed.ok()) return root.Wrap(existed.status());
  return ToResult(*existed);
}

}  // namespace vmkeep::worker
