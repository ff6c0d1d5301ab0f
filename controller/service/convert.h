#ifndef VMKEEP_CONTROLLER_SERVICE_CONVERT_H_
#define VMKEEP_CONTROLLER_SERVICE_CONVERT_H_

#include "controller/domain/backup.h"
#include "controller/domain/inventory.h"
#include "controller/inventory/inventory.h"
#include "controller/progress/live_state.h"
#include "vmkeep/v1/backup.pb.h"
#include "vmkeep/v1/inventory.pb.h"

#include <cstdint>
#include <string>

// Domain values as vmkeep.v1 messages. Pure.
namespace vmkeep::controller {

// The record's version as clients see it.
std::string EtagOf(const BackupRecord& record);

::vmkeep::v1::Backup ToProto(const BackupView& view);
::vmkeep::v1::Host ToProto(const HostView& host);
// `unfinished_backup_id` is the store's to know.
::vmkeep::v1::Vm ToProto(const ResolvedVm& vm, const std::string& project,
                         const BackupId& unfinished_backup_id);
::vmkeep::v1::Repository ToProto(const RepositoryRecord& repository, int64_t reserved_bytes);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_SERVICE_CONVERT_H_
