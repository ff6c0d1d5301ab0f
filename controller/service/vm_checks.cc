#include "controller/service/vm_checks.h"

#include "common/status_macros.h"
#include "controller/domain/errors.h"
#include "controller/service/errors.h"

#include <vector>

namespace vmkeep::controller {

absl::Status CheckVmIsFree(StoreView& view, const std::string& project, const VmRecord& vm) {
  VMKEEP_ASSIGN_OR_RETURN(const auto host, view.GetHost(vm.host_id));
  if (!host) return error::VmNotFound(vm.name);
  VMKEEP_ASSIGN_OR_RETURN(const auto unfinished, view.FindUnfinished(vm.uuid));
  if (unfinished && unfinished->project != project) return error::VmBackedUpAlready(vm.name);
  if (unfinished) return error::VmHasUnfinishedBackup(vm.name, unfinished->id);
  if (vm.overlay && vm.overlay->needs_attention && !vm.overlay->files_only) {
    return error::VmOnOverlay(vm.name, vm.uuid, vm.overlay->backup_id, vm.overlay->remedy);
  }
  return absl::OkStatus();
}

void SetHost(const Inventory& inventory, const HostId& host_id, BackupRecord& record) {
  record.host_id = host_id;
  const auto host = inventory.GetHost(host_id);
  if (!host) return;
  record.hypervisor = host->record.hypervisor;
  record.simulated = host->record.simulated;
}

absl::StatusOr<int64_t> EstimateBytes(StoreView& view, const std::string& project,
                                      const std::string& vm_uuid) {
  BackupQuery query;
  query.project = project;
  query.filter.vms = {vm_uuid};
  query.filter.states = {BackupState::kRunning};
  query.limit = 1;
  VMKEEP_ASSIGN_OR_RETURN(const auto last, view.List(query));
  return last.empty() ? 0 : last.front().stored_bytes;
}

}  // namespace vmkeep::controller
