#ifndef VMKEEP_CONTROLLER_DOMAIN_REPOSITORY_FAULT_H_
#define VMKEEP_CONTROLLER_DOMAIN_REPOSITORY_FAULT_H_

#include "absl/strings/string_view.h"

namespace vmkeep::controller {

// Whether a failure with this reason is the repository's: the same backup may well come about in
// another one. The one list, of the names in executor/worker_client, executor/worker and
// executor/task/errors.h; tests/unit/domain/repository_fault_test.cc reads those.
bool IsRepositoryFault(absl::string_view reason);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_DOMAIN_REPOSITORY_FAULT_H_
