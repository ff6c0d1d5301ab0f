#ifndef VMKEEP_CONTROLLER_DOMAIN_ERRORS_H_
#define VMKEEP_CONTROLLER_DOMAIN_ERRORS_H_

#include "controller/domain/backup.h"

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <cstdint>
#include <string>
#include <vector>

// The controller's errors, each named once: its code, its reason, and one sentence for a person
// that ends with what to do. The text never tells of another project.
namespace vmkeep::controller::error {

// NOT_FOUND.
absl::Status BackupNotFound(absl::string_view id);    // BACKUP_NOT_FOUND
absl::Status VmNotFound(absl::string_view spelling);  // VM_NOT_FOUND
absl::Status HostNotFound(absl::string_view id);      // HOST_NOT_FOUND

// FAILED_PRECONDITION, VM_AMBIGUOUS: the name fits several VMs (metadata "vm_uuids",
// comma-separated).
absl::Status VmNameAmbiguous(absl::string_view name, const std::vector<std::string>& vm_uuids);
// FAILED_PRECONDITION, VM_AMBIGUOUS: several hosts have the UUID and not exactly one runs it
// (metadata "host_ids").
absl::Status VmHostAmbiguous(absl::string_view vm_uuid, const std::vector<HostId>& host_ids);

// ALREADY_EXISTS, NAME_TAKEN (metadata "backup_id").
absl::Status NameTaken(absl::string_view name, absl::string_view backup_id);
// FAILED_PRECONDITION, UNFINISHED_BACKUP (metadata "backup_id").
absl::Status VmHasUnfinishedBackup(absl::string_view vm, absl::string_view backup_id);
// FAILED_PRECONDITION, VM_ON_OVERLAY (metadata "vm_uuid", and "backup_id" when known). `remedy`:
// what the host says.
absl::Status VmOnOverlay(absl::string_view vm, absl::string_view vm_uuid,
                         absl::string_view backup_id, absl::string_view remedy);
// FAILED_PRECONDITION, ILLEGAL_TRANSITION (metadata "from", "to").
absl::Status IllegalTransition(BackupState from, BackupState to);
// INVALID_ARGUMENT, REQUEST_ID_REUSED (metadata "backup_id"): the record keeps its request_id for
// good, so the same call can never succeed.
absl::Status RequestIdReused(absl::string_view request_id, absl::string_view backup_id);
// ALREADY_EXISTS, VM_REGISTERED (metadata "vm_id", "vm_uuid"): the id means another VM, or the VM
// has another id.
absl::Status VmRegistered(absl::string_view id, absl::string_view vm_uuid);
// ALREADY_EXISTS, VM_ID_IS_A_NAME (metadata "vm_id", "vm_uuid"): another VM bears the id as its
// name, and would be found by it no more.
absl::Status VmIdIsAName(absl::string_view id, absl::string_view vm_uuid);
// FAILED_PRECONDITION, FILES_ON_OTHER_HOST (metadata "host_id", "vm_host_id"): files of a failed
// try may lie where only the host of that try can remove them, and its VM moved on.
absl::Status FilesOnOtherHost(const BackupRecord& record, absl::string_view vm_host_id);
// FAILED_PRECONDITION, HOST_IN_USE (metadata "host_id"): a backup that is not CLOSED names it.
absl::Status HostInUse(absl::string_view host_id);
// ABORTED, ETAG_MISMATCH: read again, decide again.
absl::Status EtagMismatch(absl::string_view id, absl::string_view given, absl::string_view now);

// Repositories; metadata "repository" and "host_id". `slot` 1 or 2.
struct RepositoryName {
  int slot = 0;
  std::string host_id;
  std::string path;
};
// "repository 1 (primary)".
std::string SlotName(int slot);
// FAILED_PRECONDITION, REPOSITORY_UNINITIALIZED.
absl::Status RepositoryUninitialized(const RepositoryName& name);
// UNAVAILABLE, REPOSITORY_ILL. `message`: what the probe said.
absl::Status RepositoryIll(const RepositoryName& name, absl::string_view message);
// RESOURCE_EXHAUSTED, REPOSITORY_FULL. `available_bytes`: free, less what unfinished backups were
// promised.
absl::Status RepositoryFull(const RepositoryName& name, int64_t needed_bytes,
                            int64_t available_bytes);
// NO_REPOSITORY: UNAVAILABLE when waiting may help (`passing`), else FAILED_PRECONDITION. `why`: of
// each, in words.
absl::Status NoRepository(absl::string_view why, bool passing);

// ABORTED, STALE_TASK: the record moved on; nothing was changed.
absl::Status StaleTask(const BackupRecord& record, absl::string_view what);
// FAILED_PRECONDITION, HOST_CHANGED: another executor answers at a known host's address.
absl::Status HostChanged(absl::string_view host_id, absl::string_view pinned,
                         absl::string_view answered);
// FAILED_PRECONDITION, EXECUTOR_TAKEN: this executor is registered as another host already
// (metadata "host_id").
absl::Status ExecutorTaken(absl::string_view executor_id, absl::string_view host_id);

// FAILED_PRECONDITION, EXECUTOR_NOT_SEEN (metadata "host_id", "answered"): only the executor that
// answered last and was refused can be confirmed. `answered`: its UUID; empty when none was
// refused.
absl::Status ExecutorNotSeen(absl::string_view host_id, absl::string_view executor_id,
                             absl::string_view answered);
// ABORTED, STALE_EXECUTOR (metadata "host_id", "executor_id"): the host is another executor's by
// now, or is not registered any more.
absl::Status StaleExecutor(absl::string_view host_id, absl::string_view executor_id);

// FAILED_PRECONDITION, STORE_LOCKED. `holder`: who, in words.
absl::Status StoreLocked(absl::string_view path, absl::string_view holder);
// UNAVAILABLE, STORE_CLOSED: the controller is stopping.
absl::Status StoreClosed();
// UNAVAILABLE, DRAINING: a watch ends because the controller stops; metadata "revision": resume
// there.
absl::Status WatchDraining(int64_t revision);

// INVALID_ARGUMENT.
absl::Status BadPageToken();    // BAD_PAGE_TOKEN
absl::Status BadResumeToken();  // BAD_RESUME_TOKEN

}  // namespace vmkeep::controller::error

#endif  // VMKEEP_CONTROLLER_DOMAIN_ERRORS_H_
