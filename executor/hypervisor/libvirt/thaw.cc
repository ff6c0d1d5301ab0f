// LibvirtHypervisor: the guest must not stay frozen by us.

#include "common/error.h"
#include "common/status_macros.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/libvirt/connection.h"
#include "executor/hypervisor/libvirt/libvirt_error.h"
#include "executor/hypervisor/libvirt/libvirt_hypervisor.h"
#include "executor/hypervisor/libvirt/vm_look.h"

#include "absl/strings/str_cat.h"
#include <libvirt/virterror.h>

#include <algorithm>

namespace vmkeep::executor {
namespace {

using libvirt::Access;
using libvirt::DomainHandle;
using libvirt::VmLook;

constexpr absl::Duration kRetry = absl::Milliseconds(100);
// After libvirtd restarted, an agent is "not connected" for up to 1.5 s (libvirt-facts.md, 4).
constexpr absl::Duration kAgentComesBack = absl::Seconds(3);
constexpr absl::Duration kBudget = absl::Seconds(15);

// Nobody there who could be frozen, or who would answer.
bool NothingToThaw(const VmLook& look) {
  return !look.running() || look.now().agent == libvirt::AgentChannel::kNone;
}

absl::Status Thawed(virDomainPtr domain, const std::string& uuid, int agent_seconds) {
  if (virDomainAgentSetResponseTimeout(domain, agent_seconds, 0) != 0) {
    return libvirt::LibvirtError("set the agent's timeout", uuid);
  }
  // Answers 0, and no error, for a guest that is not frozen.
  if (virDomainFSThaw(domain, nullptr, 0, 0) < 0) {
    return libvirt::LibvirtError("thaw the guest", uuid);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status LibvirtHypervisor::Thaw(absl::string_view vm_uuid) {
  return ThawWithin(std::string(vm_uuid), std::max(kBudget, 2 * options_.agent_timeout));
}

absl::Status LibvirtHypervisor::ThawWithin(const std::string& vm_uuid, absl::Duration budget) {
  const absl::Duration began = clock_.Monotonic();
  while (true) {
    absl::Status status = ThawOnce(vm_uuid);
    if (status.ok()) return status;
    const absl::Duration spent = clock_.Monotonic() - began;
    // A channel that nobody in the guest opens for that long: no agent, hence no freeze.
    if (absl::IsNotFound(status)) {
      if (spent >= std::min(budget, kAgentComesBack)) return absl::OkStatus();
    } else if (spent >= budget) {
      return status;
    }
    clock_.WaitFor(kRetry, {});
  }
}

// kNotFound: the VM has a channel and no agent on it now.
absl::Status LibvirtHypervisor::ThawOnce(const std::string& vm_uuid) {
  const int seconds =
      static_cast<int>(std::max<int64_t>(1, absl::ToInt64Seconds(options_.agent_timeout)));
  const auto work = [vm_uuid, seconds](const Access& access) -> absl::Status {
    absl::StatusOr<DomainHandle> domain = libvirt::FindVm(access, vm_uuid);
    if (absl::IsNotFound(domain.status())) return absl::OkStatus();
    if (!domain.ok()) return domain.status();
    const absl::StatusOr<VmLook> look = libvirt::LookAt(domain->get(), /*secure=*/false);
    if (absl::IsNotFound(look.status())) return absl::OkStatus();
    if (!look.ok()) return look.status();
    if (NothingToThaw(*look)) return absl::OkStatus();
    if (look->now().agent == libvirt::AgentChannel::kDisconnected) {
      return absl::NotFoundError("no guest agent");
    }
    if (look->power == PowerState::kPaused) {
      return error::VmBusy(look->now().name, "being paused, so that its agent cannot answer");
    }
    return Thawed(domain->get(), vm_uuid, seconds);
  };
  return connection_->Run("thaw the guest", options_.agent_timeout, work);
}

}  // namespace vmkeep::executor
