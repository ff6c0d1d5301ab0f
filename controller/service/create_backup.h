#ifndef VMKEEP_CONTROLLER_SERVICE_CREATE_BACKUP_H_
#define VMKEEP_CONTROLLER_SERVICE_CREATE_BACKUP_H_

#include "common/clock.h"
#include "controller/access/identity.h"
#include "controller/domain/backup.h"
#include "controller/inventory/inventory.h"
#include "controller/service/validate.h"
#include "controller/store/backup_store.h"

#include "absl/status/statusor.h"

#include <functional>

namespace vmkeep::controller {

// The verb: one mutation that finds the request_id, looks for what forbids the backup, and inserts
// it. The client is answered after the fsync. With validate_only all is checked and nothing is
// stored: the record has no id and no etag. REQUEST_ID_REUSED, VM_NOT_FOUND, VM_AMBIGUOUS,
// UNFINISHED_BACKUP, VM_ON_OVERLAY, NAME_TAKEN.
void CreateBackup(BackupStore& store, const Inventory& inventory, Clock& clock,
                  const Caller& caller, const CreateInput& input,
                  std::function<void(absl::StatusOr<BackupRecord>)> done);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_SERVICE_CREATE_BACKUP_H_
