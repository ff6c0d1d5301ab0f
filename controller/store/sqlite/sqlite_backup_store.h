#ifndef VMKEEP_CONTROLLER_STORE_SQLITE_SQLITE_BACKUP_STORE_H_
#define VMKEEP_CONTROLLER_STORE_SQLITE_SQLITE_BACKUP_STORE_H_

#include "common/clock.h"
#include "controller/store/backup_store.h"

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace vmkeep::controller {

// The embedded store: one SQLite file (WAL, synchronous=FULL), a writer thread that commits all
// that waits at once, and two reader threads. Thread-safe. The destructor finishes what was asked
// for; afterwards nothing is called.
class SqliteBackupStore final : public BackupStore {
 public:
  // Opens or makes the store. STORE_LOCKED: another controller uses it. DATABASE_NEWER: a later
  // version wrote it.
  static absl::StatusOr<std::unique_ptr<SqliteBackupStore>> Open(const std::string& path,
                                                                 Clock& clock);
  ~SqliteBackupStore() override;

  void Commit(Mutation mutation, Done done) override;
  void Read(Query query) override;
  std::string controller_id() const override;
  void SetObserver(Observer observer) override;

  // Called on the writer thread after each commit, whether it came about, with how many mutations
  // shared it and how long it took. Set once, before use; must not block.
  using CommitMeter = std::function<void(bool ok, size_t mutations, absl::Duration took)>;
  void SetCommitMeter(CommitMeter meter);

  // Since it was opened: what the group commit saves.
  struct Stats {
    int64_t mutations = 0;
    int64_t commits = 0;
  };
  Stats stats() const;

 private:
  class Impl;
  explicit SqliteBackupStore(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_STORE_SQLITE_SQLITE_BACKUP_STORE_H_
