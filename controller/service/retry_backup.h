#ifndef VMKEEP_CONTROLLER_SERVICE_RETRY_BACKUP_H_
#define VMKEEP_CONTROLLER_SERVICE_RETRY_BACKUP_H_

#include "controller/access/identity.h"
#include "controller/domain/backup.h"
#include "controller/inventory/inventory.h"
#include "controller/service/validate.h"
#include "controller/store/backup_store.h"

#include "absl/status/statusor.h"

#include <functional>

namespace vmkeep::controller {

// The verb: one mutation that puts a backup which failed for good back into the queue, for the host
// where its VM is now. BACKUP_NOT_FOUND, ETAG_MISMATCH, ILLEGAL_TRANSITION, VM_NOT_FOUND,
// VM_AMBIGUOUS, UNFINISHED_BACKUP, VM_ON_OVERLAY; FILES_ON_OTHER_HOST when the failed try may have
// left files and its VM moved on, because only the host of that try can reclaim them
// (docs/adr/0032).
void RetryBackup(BackupStore& store, const Inventory& inventory, const Caller& caller,
                 const RetryInput& input, std::function<void(absl::StatusOr<BackupRecord>)> done);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_SERVICE_RETRY_BACKUP_H_
