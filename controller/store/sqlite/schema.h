#ifndef VMKEEP_CONTROLLER_STORE_SQLITE_SCHEMA_H_
#define VMKEEP_CONTROLLER_STORE_SQLITE_SCHEMA_H_

#include "common/sqlite/database.h"

namespace vmkeep::controller {

// The schema of the embedded store, by forward migrations. Never change one that was released: add
// the next.
const sqlite::Migrations& StoreMigrations();

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_STORE_SQLITE_SCHEMA_H_
