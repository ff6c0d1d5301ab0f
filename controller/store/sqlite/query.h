#ifndef VMKEEP_CONTROLLER_STORE_SQLITE_QUERY_H_
#define VMKEEP_CONTROLLER_STORE_SQLITE_QUERY_H_

#include "controller/domain/backup.h"
#include "controller/store/backup_store.h"
#include "controller/store/sqlite/statements.h"

#include "absl/strings/string_view.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

// What a view is asked about backups, in SQL. Everything here may throw SQLite::Exception.
namespace vmkeep::controller {

std::optional<BackupRecord> GetBackup(Statements& statements, absl::string_view project,
                                      absl::string_view id);
std::optional<BackupRecord> FindBackupByRequest(Statements& statements, absl::string_view project,
                                                absl::string_view created_by,
                                                absl::string_view request_id);
std::optional<BackupRecord> FindUnfinishedBackup(Statements& statements, absl::string_view vm_uuid);
std::optional<BackupRecord> FindBackupByName(Statements& statements, absl::string_view project,
                                             absl::string_view vm_uuid, absl::string_view name);
std::vector<BackupRecord> ListBackups(Statements& statements, const BackupQuery& query);
std::vector<BackupRecord> ListOpenBackups(Statements& statements);
std::map<BackupState, int64_t> CountBackups(Statements& statements);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_STORE_SQLITE_QUERY_H_
