// The export verbs of HyperVHypervisor: who exports what, and what is known to have ended.
#include "common/error.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/hyperv/hyperv_hypervisor.h"
#include "executor/hypervisor/hyperv/vm_look.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace vmkeep::executor {

using hyperv::Export;

namespace {

constexpr char kByUs[] = "an export that this executor has begun";

// The plan with its VM as we keep it.
absl::StatusOr<ExportPlan> Checked(const ExportPlan& plan) {
  ExportPlan checked = plan;
  checked.vm_uuid = absl::AsciiStrToLower(plan.vm_uuid);
  if (!IsUuid(checked.vm_uuid)) {
    return error::HypervisorFailed("export the VM",
                                   absl::StrCat(plan.vm_uuid, " is no id of a VM"));
  }
  if (!hyperv::IsAbsolutePath(plan.folder)) {
    return error::HypervisorFailed("export the VM",
                                   absl::StrCat(plan.folder, " is no absolute path"));
  }
  return checked;
}

}  // namespace

std::shared_ptr<Export> HyperVHypervisor::ExportOf(const std::string& vm_uuid) {
  MutexLock lock(&mu_);
  const auto found = exports_.find(vm_uuid);
  return found == exports_.end() ? nullptr : found->second;
}

absl::Status HyperVHypervisor::StartExport(const ExportPlan& plan, const std::stop_token& stop) {
  VMKEEP_ASSIGN_OR_RETURN(const ExportPlan checked, Checked(plan));
  std::shared_ptr<Export> begun;
  {
    MutexLock lock(&mu_);
    if (ending_.contains(checked.vm_uuid)) return error::VmBusy(checked.vm_uuid, kByUs);
    std::shared_ptr<Export>& latest = exports_[checked.vm_uuid];
    if (latest != nullptr && latest->running()) return error::VmBusy(checked.vm_uuid, kByUs);
    begun = latest = std::make_shared<Export>(&runner_, checked, options_.export_limits, clock_);
  }
  return begun->AwaitBegun(stop);
}

absl::StatusOr<ExportStatus> HyperVHypervisor::GetExportStatus(const ExportPlan& plan) {
  VMKEEP_ASSIGN_OR_RETURN(const ExportPlan checked, Checked(plan));
  const std::shared_ptr<Export> latest = ExportOf(checked.vm_uuid);
  if (latest == nullptr || latest->plan().folder != checked.folder) return ExportStatus{};
  return latest->Status();
}

absl::Status HyperVHypervisor::EndExport(const ExportPlan& plan) {
  VMKEEP_ASSIGN_OR_RETURN(const ExportPlan checked, Checked(plan));
  if (const std::shared_ptr<Export> latest = ExportOf(checked.vm_uuid)) {
    if (latest->plan().folder == checked.folder) {
      if (latest->CancelAndWait()) return absl::OkStatus();
    } else if (latest->running()) {
      return absl::OkStatus();  // Hyper-V exports a VM once at a time
    }
  }
  return EndWhateverRuns(checked.vm_uuid);
}

// What runs may be of an earlier process, or of ours whose script is gone. An export that somebody
// else began in the meantime cannot be told from those: Hyper-V does not say who asked for it
// [open].
absl::Status HyperVHypervisor::EndWhateverRuns(const std::string& vm_uuid) {
  {
    MutexLock lock(&mu_);
    if (!ending_.insert(vm_uuid).second) {
      return error::ExportNotEnded(vm_uuid, "another call is ending it");
    }
  }
  const absl::Status ended = RunEndExport(vm_uuid);
  MutexLock lock(&mu_);
  ending_.erase(vm_uuid);
  return ended;
}

absl::Status HyperVHypervisor::RunEndExport(const std::string& vm_uuid) {
  hyperv::wire::Request request;
  request.mutable_end_export()->set_vm_id(vm_uuid);
  request.mutable_end_export()->set_wait_seconds(
      static_cast<int32_t>(absl::ToInt64Seconds(options_.end_wait)));
  absl::Status status = runner_.Run(request, {.doing = "end the export", .vm = vm_uuid},
                                    {.deadline = options_.end_wait + options_.look_deadline},
                                    {.cancel = {}, .abandon = life_.get_token()}, {});
  const std::string reason = ErrorReason(status);
  if (status.ok() || reason == "VM_NOT_FOUND") return absl::OkStatus();
  if (reason == "EXPORT_NOT_ENDED") return status;
  // Whatever it is: nobody knows that it has ended.
  return error::ExportNotEnded(vm_uuid, status.message());
}

}  // namespace vmkeep::executor
