#ifndef VMKEEP_TOOLS_VMKEEPCTL_BACKUP_TEXT_H_
#define VMKEEP_TOOLS_VMKEEPCTL_BACKUP_TEXT_H_

#include "vmkeep/v1/backup_service.pb.h"

#include <string>

// Backups as tables and fields. Pure.
namespace vmkeep::ctl {

std::string BackupTable(const v1::ListBackupsResponse& backups);
// Everything of one backup that is set.
std::string BackupFields(const v1::Backup& backup);

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_BACKUP_TEXT_H_
