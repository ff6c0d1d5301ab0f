#ifndef VMKEEP_CONTROLLER_STORE_SQLITE_TRANSACTION_H_
#define VMKEEP_CONTROLLER_STORE_SQLITE_TRANSACTION_H_

#include "common/clock.h"
#include "common/sqlite/database.h"
#include "controller/store/backup_store.h"
#include "controller/store/sqlite/inventory_rows.h"
#include "controller/store/sqlite/query.h"
#include "controller/store/sqlite/statements.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::controller {

// The reading half of a view, the same for readers (Base = StoreView) and the writer (Base =
// StoreTransaction). The border where SQLite's exceptions end. For one thread.
template <typename Base>
class SqliteView : public Base {
 public:
  SqliteView(Statements& statements, int64_t revision)
      : statements_(statements), revision_(revision) {}

  absl::StatusOr<std::optional<BackupRecord>> Get(absl::string_view project,
                                                  absl::string_view id) override {
    return Run<std::optional<BackupRecord>>("get backup",
                                            [&] { return GetBackup(statements_, project, id); });
  }
  absl::StatusOr<std::optional<BackupRecord>> FindByRequest(absl::string_view project,
                                                            absl::string_view created_by,
                                                            absl::string_view request_id) override {
    return Run<std::optional<BackupRecord>>("find request", [&] {
      return FindBackupByRequest(statements_, project, created_by, request_id);
    });
  }
  absl::StatusOr<std::optional<BackupRecord>> FindUnfinished(absl::string_view vm_uuid) override {
    return Run<std::optional<BackupRecord>>(
        "find unfinished", [&] { return FindUnfinishedBackup(statements_, vm_uuid); });
  }
  absl::StatusOr<std::optional<BackupRecord>> FindByName(absl::string_view project,
                                                         absl::string_view vm_uuid,
                                                         absl::string_view name) override {
    return Run<std::optional<BackupRecord>>(
        "find name", [&] { return FindBackupByName(statements_, project, vm_uuid, name); });
  }
  absl::StatusOr<std::vector<BackupRecord>> List(const BackupQuery& query) override {
    return Run<std::vector<BackupRecord>>("list backups",
                                          [&] { return ListBackups(statements_, query); });
  }
  absl::StatusOr<std::vector<BackupRecord>> ChangedSince(absl::string_view project,
                                                         int64_t revision, int limit) override {
    BackupQuery query;
    query.project = std::string(project);
    query.filter.show_closed = true;
    query.changed_after = revision;
    query.limit = limit;
    return List(query);
  }
  absl::StatusOr<std::vector<BackupRecord>> ListOpen() override {
    return Run<std::vector<BackupRecord>>("list open backups",
                                          [&] { return ListOpenBackups(statements_); });
  }
  absl::StatusOr<std::map<BackupState, int64_t>> CountByState() override {
    return Run<std::map<BackupState, int64_t>>("count backups",
                                               [&] { return CountBackups(statements_); });
  }
  absl::StatusOr<std::optional<HostRecord>> GetHost(const HostId& id) override {
    return Run<std::optional<HostRecord>>("get host", [&] { return ReadHost(statements_, id); });
  }
  absl::StatusOr<std::vector<HostRecord>> ListHosts() override {
    return Run<std::vector<HostRecord>>("list hosts", [&] { return ReadHosts(statements_); });
  }
  absl::StatusOr<std::vector<VmRecord>> ListVms() override {
    return Run<std::vector<VmRecord>>("list VMs", [&] { return ReadVms(statements_); });
  }
  absl::StatusOr<std::vector<RepositoryRecord>> ListRepositories() override {
    return Run<std::vector<RepositoryRecord>>("list repositories",
                                              [&] { return ReadRepositories(statements_); });
  }
  absl::StatusOr<std::vector<VmRegistration>> ListVmRegistrations() override {
    return Run<std::vector<VmRegistration>>("list VM registrations",
                                            [&] { return ReadVmRegistrations(statements_); });
  }
  int64_t revision() override { return revision_; }

 protected:
  template <typename T, typename Body>
  absl::StatusOr<T> Run(absl::string_view what, Body body) {
    return sqlite::Guard(what, [&]() -> absl::StatusOr<T> { return body(); });
  }

  Statements& statements_;
  int64_t revision_;
};

// The writer's view: one for all mutations of a group commit. Begin() before each of them.
class SqliteTransaction final : public SqliteView<StoreTransaction> {
 public:
  SqliteTransaction(Statements& statements, int64_t revision, Clock& clock)
      : SqliteView(statements, revision), clock_(clock) {}

  // A mutation begins in a savepoint.
  absl::Status Begin();
  // It ended well, or not: then everything since Begin() is undone.
  absl::Status Keep();
  absl::Status Undo();
  // What Put() was given since Begin(), the newest of each record, by revision.
  std::vector<BackupRecord> TakePut();

  absl::StatusOr<BackupRecord> Put(BackupRecord record) override;
  absl::Status PutHost(const HostRecord& host) override;
  absl::Status DeleteHost(const HostId& host) override;
  absl::Status AddVmRegistration(const VmRegistration& registration) override;
  absl::Status PutVms(const HostId& host, const std::vector<VmRecord>& vms) override;
  absl::Status PutRepositories(const HostId& host,
                               const std::vector<RepositoryRecord>& repositories) override;
  absl::Status PutAcknowledged(const HostId& host, int64_t sequence) override;
  absl::Status PutLastSeen(const HostId& host, absl::Time seen) override;

 private:
  // Which unique thing another record has; `failed` when it is none of them.
  absl::Status WhoseIsIt(const BackupRecord& record, absl::Status failed);

  Clock& clock_;
  int64_t revision_before_ = 0;
  std::map<BackupId, BackupRecord> put_;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_STORE_SQLITE_TRANSACTION_H_
