#ifndef VMKEEP_EXECUTOR_TASK_INVENTORY_H_
#define VMKEEP_EXECUTOR_TASK_INVENTORY_H_

#include "executor/task/environment.h"
#include "executor/task/task_manager.h"
#include "vmkeep/v1/inventory.pb.h"

#include "absl/status/statusor.h"

#include <string>
#include <vector>

namespace vmkeep::executor {

// A page of a host's VMs, by UUID.
struct VmPage {
  std::vector<::vmkeep::v1::Vm> vms;
  std::string next_page_token;
};

// The VMs of this host, freshly looked at, with what is known of their overlays; also those that
// the hypervisor does not know any more while overlays of them are left. Waits for the hypervisor.
// `page_token` is the last page's next_page_token.
absl::StatusOr<VmPage> ListVms(const Environment& env, TaskManager& tasks, int page_size,
                               const std::string& page_token);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_INVENTORY_H_
