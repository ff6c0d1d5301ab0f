#ifndef VMKEEP_CONTROLLER_STORE_SQLITE_BACKUP_ROWS_H_
#define VMKEEP_CONTROLLER_STORE_SQLITE_BACKUP_ROWS_H_

#include "controller/domain/backup.h"
#include "controller/store/sqlite/statements.h"

#include <string>
#include <vector>

// Records to and from the tables backup and backup_detail. Everything here may throw
// SQLite::Exception.
namespace vmkeep::controller {

// "SELECT <columns> FROM backup b ": what ReadBackups() expects, to be followed by a WHERE.
const std::string& SelectBackups();

// Steps `query`, which began with SelectBackups(), to its end; details are fetched through
// `statements`.
std::vector<BackupRecord> ReadBackups(Statements& statements, SQLite::Statement& query);

// Inserts the record, or updates what may change of it.
void WriteBackup(Statements& statements, const BackupRecord& record);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_STORE_SQLITE_BACKUP_ROWS_H_
