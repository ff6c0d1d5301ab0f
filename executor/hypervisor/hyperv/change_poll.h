#ifndef VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_CHANGE_POLL_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_CHANGE_POLL_H_

#include "common/clock.h"
#include "executor/hypervisor/hypervisor.h"

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include <functional>
#include <stop_token>
#include <thread>
#include <vector>

namespace vmkeep::executor::hyperv {

// Looks at the VMs again and again, and says when one appeared, vanished or changed its power state
// or its name: Hyper-V's scripts send no events. Its thread ends with it, a look that is under way
// included.
class ChangePoll {
 public:
  using List = std::function<absl::StatusOr<std::vector<VmSummary>>(const std::stop_token&)>;
  // Looks first at once; what it finds then counts as a change.
  ChangePoll(List list, absl::Duration period, Clock& clock, std::function<void()> changed);

 private:
  void Loop(const std::stop_token& stop);

  const List list_;
  const absl::Duration period_;
  Clock& clock_;
  const std::function<void()> changed_;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace vmkeep::executor::hyperv

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_CHANGE_POLL_H_
