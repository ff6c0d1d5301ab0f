#ifndef VMKEEP_CONTROLLER_SERVICE_VM_CHECKS_H_
#define VMKEEP_CONTROLLER_SERVICE_VM_CHECKS_H_

#include "controller/domain/backup.h"
#include "controller/inventory/inventory.h"
#include "controller/store/backup_store.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <cstdint>
#include <string>

// What a new backup and another try of an old one share.
namespace vmkeep::controller {

// What forbids work on this VM now; VM_NOT_FOUND also when its host was deleted since it was looked
// up. UNFINISHED_BACKUP, VM_ON_OVERLAY.
absl::Status CheckVmIsFree(StoreView& view, const std::string& project, const VmRecord& vm);

// How much to promise: what the VM's last backup took. A first backup promises nothing, its host
// checks the space.
absl::StatusOr<int64_t> EstimateBytes(StoreView& view, const std::string& project,
                                      const std::string& vm_uuid);

// The record is for this host, as the inventory knows it.
void SetHost(const Inventory& inventory, const HostId& host_id, BackupRecord& record);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_SERVICE_VM_CHECKS_H_
