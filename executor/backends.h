#ifndef VMKEEP_EXECUTOR_BACKENDS_H_
#define VMKEEP_EXECUTOR_BACKENDS_H_

#include "common/metrics/registry.h"
#include "executor/hypervisor/hypervisor.h"
#include "executor/options.h"

#include "absl/status/statusor.h"

#include <memory>

// Part of the composition root: the hypervisor that --hypervisor names. One that does not answer
// yet is waited for in the background; INVALID_ARGUMENT for one that this build has not.
namespace vmkeep::executor {

absl::StatusOr<std::unique_ptr<Hypervisor>> OpenHypervisor(const Options& options,
                                                           metrics::Registry& metrics);

// The ones that only one system's build has: backends_linux.cc, backends_windows.cc.
absl::StatusOr<std::unique_ptr<Hypervisor>> OpenHypervisorOfThisSystem(const Options& options,
                                                                       metrics::Registry& metrics);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_BACKENDS_H_
