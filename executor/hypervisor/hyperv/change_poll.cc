#include "executor/hypervisor/hyperv/change_poll.h"

#include "common/error.h"
#include "common/log.h"

#include <map>
#include <optional>
#include <string>
#include <utility>

namespace vmkeep::executor::hyperv {
namespace {

using Seen = std::map<std::string, std::pair<std::string, PowerState>>;  // by id: name, power

Seen SeenIn(const std::vector<VmSummary>& vms) {
  Seen seen;
  for (const VmSummary& vm : vms) seen[vm.uuid] = {vm.name, vm.power};
  return seen;
}

}  // namespace

ChangePoll::ChangePoll(List list, absl::Duration period, Clock& clock,
                       std::function<void()> changed)
    : list_(std::move(list)),
      period_(period),
      clock_(clock),
      changed_(std::move(changed)),
      thread_([this](const std::stop_token& stop) { Loop(stop); }) {}

void ChangePoll::Loop(const std::stop_token& stop) {
  std::optional<Seen> last;
  bool failing = false;
  do {
    const absl::StatusOr<std::vector<VmSummary>> vms = list_(stop);
    if (stop.stop_requested()) return;
    if (!vms.ok()) {
      // Once: the same again says nothing new. Whoever lists the VMs gets the error.
      if (!failing) log::Warning("vms_not_listed", {{"error", vms.status().message()}});
      failing = true;
      continue;
    }
    failing = false;
    Seen now = SeenIn(*vms);
    // The first time too: whoever asked to be told may have looked before that.
    const bool change = !last || *last != now;
    last = std::move(now);
    if (change) changed_();
  } while (clock_.WaitFor(period_, stop));
}

}  // namespace vmkeep::executor::hyperv
