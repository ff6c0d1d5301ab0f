#include "executor/hypervisor/hyperv/hyperv_hypervisor.h"

#include "common/status_macros.h"
#include "common/uuid.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/hyperv/errors.h"
#include "executor/hypervisor/hyperv/vm_look.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace vmkeep::executor {

using hyperv::ScriptContext;
using hyperv::wire::Line;
using hyperv::wire::Request;
using hyperv::wire::Vm;

absl::StatusOr<std::unique_ptr<Hypervisor>> HyperVHypervisor::Open(HyperVOptions options,
                                                                   Clock& clock) {
  VMKEEP_RETURN_IF_ERROR(hyperv::CheckScripts(options.runner.scripts, options.digests));
  std::unique_ptr<HyperVHypervisor> hypervisor(new HyperVHypervisor(std::move(options), clock));
  VMKEEP_RETURN_IF_ERROR(hypervisor->ListVms().status());
  return hypervisor;
}

HyperVHypervisor::HyperVHypervisor(HyperVOptions options, Clock& clock)
    : options_(std::move(options)), clock_(clock), runner_(options_.runner) {}

HyperVHypervisor::~HyperVHypervisor() {
  life_.request_stop();
  std::unique_ptr<hyperv::ChangePoll> poll;
  {
    MutexLock lock(&mu_);
    poll.swap(poll_);
  }
}

absl::StatusOr<std::vector<Vm>> HyperVHypervisor::Look(const Request& request,
                                                       const ScriptContext& context,
                                                       const std::stop_token& stop) {
  std::vector<Vm> vms;
  VMKEEP_RETURN_IF_ERROR(runner_.Run(request, context, {.deadline = options_.look_deadline},
                                     {.cancel = {}, .abandon = stop},
                                     [this, &vms](const Line& line) {
                                       if (line.has_hello() && line.hello().simulated())
                                         simulated_ = true;
                                       if (line.has_vm()) vms.push_back(line.vm());
                                     }));
  return vms;
}

absl::StatusOr<std::vector<VmSummary>> HyperVHypervisor::List(const std::stop_token& stop) {
  Request request;
  request.mutable_list_vms();
  VMKEEP_ASSIGN_OR_RETURN(const std::vector<Vm> vms,
                          Look(request, {.doing = "list the VMs", .vm = ""}, stop));
  std::vector<VmSummary> summaries;
  for (const Vm& vm : vms) {
    VMKEEP_ASSIGN_OR_RETURN(VmSummary summary, hyperv::SummaryOf(vm));
    summaries.push_back(std::move(summary));
  }
  return summaries;
}

absl::StatusOr<std::vector<VmSummary>> HyperVHypervisor::ListVms() {
  return List(life_.get_token());
}

void HyperVHypervisor::OnChange(std::function<void()> changed) {
  auto poll = std::make_unique<hyperv::ChangePoll>(
      [this](const std::stop_token& stop) { return List(stop); }, options_.poll_period, clock_,
      std::move(changed));
  MutexLock lock(&mu_);
  poll_.swap(poll);
}

absl::StatusOr<VmDescription> HyperVHypervisor::Describe(absl::string_view vm_uuid) {
  const std::string asked(vm_uuid);
  Request request;
  request.mutable_inspect_vm()->set_vm(asked);
  VMKEEP_ASSIGN_OR_RETURN(
      const std::vector<Vm> vms,
      Look(request, {.doing = "look at the VM", .vm = asked}, life_.get_token()));
  if (vms.size() != 1) {
    return error::ScriptProtocol("inspect-vm",
                                 absl::StrCat("answered with ", vms.size(), " VMs for one"));
  }
  const std::string uuid = absl::AsciiStrToLower(asked);
  if (IsUuid(uuid) && absl::AsciiStrToLower(vms[0].id()) != uuid) {
    return error::ScriptProtocol("inspect-vm", "answered with another VM");
  }
  return hyperv::DescriptionOf(vms[0]);
}

}  // namespace vmkeep::executor
