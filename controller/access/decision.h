#ifndef VMKEEP_CONTROLLER_ACCESS_DECISION_H_
#define VMKEEP_CONTROLLER_ACCESS_DECISION_H_

#include "controller/access/identity.h"

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace vmkeep::controller {

// Which role each method takes, by its full name ("/vmkeep.v1.BackupService/GetBackup"). A method
// without an entry is denied to everybody; a test compares the table with the services.
absl::Status Authorize(const Caller& caller, absl::string_view method);

// For that test.
bool HasEntry(absl::string_view method);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_ACCESS_DECISION_H_
