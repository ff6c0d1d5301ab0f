#ifndef VMKEEP_COMMON_FAULT_POINT_ERRORS_H_
#define VMKEEP_COMMON_FAULT_POINT_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace vmkeep::error {

// kUnavailable, INJECTED_FAULT: as of a fault that passes.
absl::Status InjectedFault(absl::string_view point);

}  // namespace vmkeep::error

#endif  // VMKEEP_COMMON_FAULT_POINT_ERRORS_H_
