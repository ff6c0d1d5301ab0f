#ifndef VMKEEP_CONTROLLER_SERVICE_ERRORS_H_
#define VMKEEP_CONTROLLER_SERVICE_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

// Errors that only the edge has; the rest are in domain/errors.h.
namespace vmkeep::controller::error {

// kFailedPrecondition, BACKUP_CLOSED: the record stays for audit and is changed no more.
absl::Status BackupClosed(absl::string_view id);
// kFailedPrecondition, UNFINISHED_BACKUP, without naming a backup that the caller may not see.
absl::Status VmBackedUpAlready(absl::string_view vm);
// kUnavailable, DRAINING: the controller stops; another call succeeds after it started again.
absl::Status Draining();

}  // namespace vmkeep::controller::error

#endif  // VMKEEP_CONTROLLER_SERVICE_ERRORS_H_
