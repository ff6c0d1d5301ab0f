#ifndef VMKEEP_TESTS_CONTRACT_STORE_STORE_KINDS_H_
#define VMKEEP_TESTS_CONTRACT_STORE_STORE_KINDS_H_

#include "common/clock.h"
#include "controller/store/backup_store.h"
#include "controller/store/sqlite/sqlite_backup_store.h"
#include "tests/fakes/memory_backup_store.h"

#include "absl/status/statusor.h"

#include <functional>
#include <memory>
#include <ostream>
#include <string>

// Every implementation of BackupStore runs the same contract.
namespace vmkeep::controller::test {

struct StoreKind {
  std::string name;
  // Opens the store that lives in `folder`, or makes it.
  std::function<absl::StatusOr<std::unique_ptr<BackupStore>>(const std::string& folder,
                                                             Clock& clock)>
      open;
};
inline void PrintTo(const StoreKind& kind, std::ostream* out) { *out << kind.name; }

inline StoreKind MemoryKind() {
  return {
      "Memory",
      [](const std::string& folder, Clock& clock) -> absl::StatusOr<std::unique_ptr<BackupStore>> {
        return MemoryBackupStore::Open(folder, clock);
      }};
}

inline StoreKind SqliteKind() {
  return {
      "Sqlite",
      [](const std::string& folder, Clock& clock) -> absl::StatusOr<std::unique_ptr<BackupStore>> {
        return SqliteBackupStore::Open(folder + "/controller.db", clock);
      }};
}

}  // namespace vmkeep::controller::test

#endif  // VMKEEP_TESTS_CONTRACT_STORE_STORE_KINDS_H_
