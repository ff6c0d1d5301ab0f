// LibvirtHypervisor: what is done to a merge and its guest when the guest outruns it, and how it is
// taken back, also by an executor that came up again meanwhile.
//
// What was before stands in a note (domain_note.h), which lives exactly as long as what it is
// about: a limit, like the suspension, ends with the QEMU process.

#include "common/log.h"
#include "common/status_macros.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/libvirt/connection.h"
#include "executor/hypervisor/libvirt/domain_note.h"
#include "executor/hypervisor/libvirt/libvirt_error.h"
#include "executor/hypervisor/libvirt/libvirt_hypervisor.h"
#include "executor/hypervisor/libvirt/vm_look.h"

#include "absl/strings/str_cat.h"

#include <optional>
#include <string>
#include <vector>

namespace vmkeep::executor {
namespace {

using libvirt::Access;
using libvirt::DomainHandle;
using libvirt::LibvirtError;
using libvirt::VmLook;

constexpr char kSuspended[] = "urn:vmkeep:suspended-for-merge";
constexpr unsigned int kLive = VIR_DOMAIN_AFFECT_LIVE;
constexpr char kReadBytes[] = VIR_DOMAIN_BLOCK_IOTUNE_READ_BYTES_SEC;
constexpr char kWriteBytes[] = VIR_DOMAIN_BLOCK_IOTUNE_WRITE_BYTES_SEC;

std::string LimitUri(const std::string& target) {
  return absl::StrCat("urn:vmkeep:limit-of:", target);
}

class TuneParameters {
 public:
  TuneParameters() = default;
  ~TuneParameters() { virTypedParamsClear(params_.data(), count_); }  // the texts in them
  TuneParameters(const TuneParameters&) = delete;
  TuneParameters& operator=(const TuneParameters&) = delete;

  absl::Status Read(virDomainPtr domain, const std::string& target) {
    int room = 0;
    if (virDomainGetBlockIoTune(domain, target.c_str(), nullptr, &room, kLive) != 0) {
      return LibvirtError("ask for the limits of a disk");
    }
    params_.resize(room);
    if (virDomainGetBlockIoTune(domain, target.c_str(), params_.data(), &room, kLive) != 0) {
      return LibvirtError("ask for the limits of a disk");
    }
    count_ = room;
    return absl::OkStatus();
  }
  int64_t Number(const char* name) {
    unsigned long long value = 0;
    const bool found = virTypedParamsGetULLong(params_.data(), count_, name, &value) == 1;
    return found ? static_cast<int64_t>(value) : 0;
  }
  std::string Text(const char* name) {
    const char* value = nullptr;
    const bool found = virTypedParamsGetString(params_.data(), count_, name, &value) == 1;
    return found && value != nullptr ? value : "";
  }

 private:
  std::vector<virTypedParameter> params_;
  int count_ = 0;
};

// libvirt takes the limits of bytes together: one that is not named again is gone.
absl::Status SetWriteLimit(virDomainPtr domain, const std::string& target, int64_t bytes) {
  TuneParameters now;
  VMKEEP_RETURN_IF_ERROR(now.Read(domain, target));
  virTypedParameterPtr params = nullptr;
  int count = 0;
  int room = 0;
  const auto add = [&](const char* name, int64_t value) {
    return virTypedParamsAddULLong(&params, &count, &room, name,
                                   static_cast<unsigned long long>(value)) == 0;
  };
  bool set = add(kReadBytes, now.Number(kReadBytes)) && add(kWriteBytes, bytes);
  set = set && virDomainSetBlockIoTune(domain, target.c_str(), params, count, kLive) == 0;
  const absl::Status status =
      set ? absl::OkStatus() : LibvirtError(absl::StrCat("limit the writes to ", target));
  virTypedParamsFree(params, count);
  return status;
}

// libvirt gives each disk with a limit a group; one that the disk is alone in is none.
absl::StatusOr<bool> SharesGroup(virDomainPtr domain, const VmLook& look, const std::string& target,
                                 const std::string& group) {
  if (group.empty()) return false;
  for (const libvirt::DiskXml& other : look.now().disks) {
    if (other.target == target || other.empty) continue;
    TuneParameters tune;
    VMKEEP_RETURN_IF_ERROR(tune.Read(domain, other.target));
    if (tune.Text(VIR_DOMAIN_BLOCK_IOTUNE_GROUP_NAME) == group) return true;
  }
  return false;
}

// A limit that the VM has already stays if it is lower. One over reads and writes together, or over
// several disks, cannot be had beside ours.
absl::Status Limit(virDomainPtr domain, const VmLook& look, const std::string& target,
                   int64_t bytes) {
  TuneParameters tune;
  VMKEEP_RETURN_IF_ERROR(tune.Read(domain, target));
  const int64_t now = tune.Number(kWriteBytes);
  if (now != 0 && now <= bytes) return absl::OkStatus();
  VMKEEP_ASSIGN_OR_RETURN(
      const bool shared,
      SharesGroup(domain, look, target, tune.Text(VIR_DOMAIN_BLOCK_IOTUNE_GROUP_NAME)));
  if (shared || tune.Number(VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_BYTES_SEC) != 0) {
    return absl::FailedPreconditionError("the disk has limits of another kind already");
  }
  VMKEEP_ASSIGN_OR_RETURN(const std::optional<int64_t> noted,
                          libvirt::Noted(domain, LimitUri(target)));
  if (!noted) VMKEEP_RETURN_IF_ERROR(libvirt::PutNote(domain, LimitUri(target), now));
  return SetWriteLimit(domain, target, bytes);
}

absl::Status Unlimit(virDomainPtr domain, const std::string& target) {
  VMKEEP_ASSIGN_OR_RETURN(const std::optional<int64_t> before,
                          libvirt::Noted(domain, LimitUri(target)));
  if (!before) return absl::OkStatus();
  VMKEEP_RETURN_IF_ERROR(SetWriteLimit(domain, target, *before));
  log::Info("write_limit_taken_back", {{"disk", target}, {"write_bytes_sec", *before}});
  return libvirt::RemoveNote(domain, LimitUri(target));
}

absl::Status Suspend(virDomainPtr domain, const VmLook& look) {
  if (look.power != PowerState::kOn) return absl::OkStatus();
  VMKEEP_RETURN_IF_ERROR(libvirt::PutNote(domain, kSuspended, 1));
  return virDomainSuspend(domain) == 0 ? absl::OkStatus() : LibvirtError("suspend the VM");
}

absl::Status Unsuspend(virDomainPtr domain, const VmLook& look) {
  VMKEEP_ASSIGN_OR_RETURN(const std::optional<int64_t> ours, libvirt::Noted(domain, kSuspended));
  if (!ours) return absl::OkStatus();
  if (look.power == PowerState::kPaused && look.reason == VIR_DOMAIN_PAUSED_USER &&
      virDomainResume(domain) != 0) {
    return LibvirtError("resume the VM");
  }
  return libvirt::RemoveNote(domain, kSuspended);
}

absl::Status Apply(virDomainPtr domain, const VmLook& look, const std::string& target,
                   const MergeHelp& help) {
  if (help.full_speed && virDomainBlockJobSetSpeed(domain, target.c_str(), 0, 0) != 0) {
    return LibvirtError("let the merge run at full speed");
  }
  VMKEEP_RETURN_IF_ERROR(help.write_bytes_per_second > 0
                             ? Limit(domain, look, target, help.write_bytes_per_second)
                             : Unlimit(domain, target));
  return help.suspended ? Suspend(domain, look) : Unsuspend(domain, look);
}

}  // namespace

absl::Status LibvirtHypervisor::HelpMerge(const OverlayDisk& disk, const MergeHelp& help) {
  const auto work = [disk, help](const Access& access) -> absl::Status {
    const absl::StatusOr<DomainHandle> domain = libvirt::FindVm(access, disk.vm_uuid);
    if (absl::IsNotFound(domain.status()))
      return absl::OkStatus();  // what it was under ended with it
    VMKEEP_RETURN_IF_ERROR(domain.status());
    VMKEEP_ASSIGN_OR_RETURN(const VmLook look, libvirt::LookAt(domain->get(), /*secure=*/false));
    if (!look.running()) return absl::OkStatus();
    if (access.given_up()) return absl::CancelledError("nobody waits for it any more");
    return Apply(domain->get(), look, disk.target, help);
  };
  return connection_->Run(absl::StrCat("help the merge of ", disk.target), {}, work);
}

}  // namespace vmkeep::executor
