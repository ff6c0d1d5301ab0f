#ifndef VMKEEP_EXECUTOR_HYPERVISOR_FILE_NAME_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_FILE_NAME_H_

#include "absl/strings/string_view.h"

namespace vmkeep::executor {

// What is behind the last separator of either kind: a path may be one of Windows, whatever this
// runs on.
absl::string_view FileNameOf(absl::string_view path);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_FILE_NAME_H_
