#include "common/error.h"
#include "executor/backends.h"

namespace vmkeep::executor {

absl::StatusOr<std::unique_ptr<Hypervisor>> OpenHypervisorOfThisSystem(
    const Options& /*options*/, metrics::Registry& /*metrics*/) {
  return InvalidArgument("--hypervisor", "must be hyperv on Windows");
}

}  // namespace vmkeep::executor
