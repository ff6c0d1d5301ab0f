#ifndef VMKEEP_CONTROLLER_TASKS_ERRORS_H_
#define VMKEEP_CONTROLLER_TASKS_ERRORS_H_

#include "controller/domain/backup.h"

#include "absl/status/status.h"

// How errors of others become failures of a record. The failures carry no time: whoever records
// them stamps them.
namespace vmkeep::controller {

// True when the executor said no. False when nobody knows whether the task was accepted: no answer,
// or an answer that may have come after the task was written down.
bool IsRefusal(const absl::Status& status);

// The executor's reason; retryable when waiting can help.
Failure RefusedByExecutor(const absl::Status& status);
// Placement's reason. An ill or full repository may come back; one that was never initialised does
// not by itself.
Failure RefusedByPlacement(const absl::Status& status);
// A cancelled task that the executor never accepted and now never will: an end of which nothing
// remains.
Failure CancelledBeforeStart();

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_TASKS_ERRORS_H_
