#ifndef VMKEEP_CONTROLLER_SERVICE_UPDATE_BACKUP_H_
#define VMKEEP_CONTROLLER_SERVICE_UPDATE_BACKUP_H_

#include "common/clock.h"
#include "controller/access/identity.h"
#include "controller/domain/backup.h"
#include "controller/service/validate.h"
#include "controller/store/backup_store.h"

#include "absl/status/statusor.h"

#include <functional>

namespace vmkeep::controller {

// The verb: one mutation that changes name and labels and asks for the scrub. Patterns in the name
// become the day and the time of this call. What is so already changes nothing: the record keeps
// its etag. BACKUP_NOT_FOUND, ETAG_MISMATCH, ILLEGAL_TRANSITION, BACKUP_CLOSED, NAME_TAKEN.
void UpdateBackup(BackupStore& store, Clock& clock, const Caller& caller, UpdateInput input,
                  std::function<void(absl::StatusOr<BackupRecord>)> done);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_SERVICE_UPDATE_BACKUP_H_
