#include "controller/store/sqlite/transaction.h"

#include "common/error.h"
#include "common/status_macros.h"
#include "controller/domain/errors.h"
#include "controller/domain/states.h"
#include "controller/store/sqlite/backup_rows.h"

#include "absl/strings/str_cat.h"

#include <algorithm>

namespace vmkeep::controller {
namespace {

template <typename Body>
absl::Status Write(absl::string_view what, Body body) {
  return sqlite::Guard(what, [&]() -> absl::Status {
    body();
    return absl::OkStatus();
  });
}

}  // namespace

absl::Status SqliteTransaction::Begin() {
  put_.clear();
  revision_before_ = revision_;
  return Write("begin", [&] { statements_.db().exec("SAVEPOINT mutation"); });
}

absl::Status SqliteTransaction::Keep() {
  return Write("keep", [&] { statements_.db().exec("RELEASE mutation"); });
}

absl::Status SqliteTransaction::Undo() {
  put_.clear();
  revision_ = revision_before_;
  return Write("undo", [&] { statements_.db().exec("ROLLBACK TO mutation; RELEASE mutation"); });
}

std::vector<BackupRecord> SqliteTransaction::TakePut() {
  std::vector<BackupRecord> records;
  records.reserve(put_.size());
  for (auto& [id, record] : put_) records.push_back(std::move(record));
  put_.clear();
  std::sort(records.begin(), records.end(),
            [](const BackupRecord& a, const BackupRecord& b) { return a.revision < b.revision; });
  return records;
}

absl::StatusOr<BackupRecord> SqliteTransaction::Put(BackupRecord record) {
  record.revision = revision_ + 1;
  record.update_time = clock_.Now();
  absl::Status status = Write("put backup", [&] { WriteBackup(statements_, record); });
  if (!status.ok()) return WhoseIsIt(record, std::move(status));
  revision_ = record.revision;
  // Read back: what is answered and published is what is stored.
  VMKEEP_ASSIGN_OR_RETURN(std::optional<BackupRecord> stored, Get(kAnyProject, record.id));
  if (!stored)
    return absl::InternalError(absl::StrCat("backup ", record.id, " is not there after its put"));
  put_.insert_or_assign(stored->id, *stored);
  return *std::move(stored);
}

absl::Status SqliteTransaction::WhoseIsIt(const BackupRecord& record, absl::Status failed) {
  if (failed.code() != absl::StatusCode::kInternal) return failed;  // the disk, not a constraint
  VMKEEP_ASSIGN_OR_RETURN(auto named, FindByName(record.project, record.vm_uuid, record.name));
  if (named && named->id != record.id) return error::NameTaken(record.name, named->id);
  VMKEEP_ASSIGN_OR_RETURN(auto unfinished, FindUnfinished(record.vm_uuid));
  if (unfinished && unfinished->id != record.id && IsUnfinished(record.state)) {
    return error::VmHasUnfinishedBackup(record.vm_id, unfinished->id);
  }
  VMKEEP_ASSIGN_OR_RETURN(auto requested,
                          FindByRequest(record.project, record.created_by, record.request_id));
  if (requested && requested->id != record.id)
    return error::RequestIdReused(record.request_id, requested->id);
  return failed;
}

absl::Status SqliteTransaction::PutHost(const HostRecord& host) {
  return Write("put host", [&] { WriteHost(statements_, host); });
}

absl::Status SqliteTransaction::DeleteHost(const HostId& host) {
  return Write("delete host", [&] { RemoveHost(statements_, host); });
}

absl::Status SqliteTransaction::AddVmRegistration(const VmRegistration& registration) {
  VMKEEP_ASSIGN_OR_RETURN(const std::vector<VmRegistration> known, ListVmRegistrations());
  for (const VmRegistration& it : known) {
    if (it.project != registration.project) continue;
    if (it.id == registration.id || it.uuid == registration.uuid) {
      return error::VmRegistered(it.id, it.uuid);
    }
  }
  return Write("register VM", [&] { WriteVmRegistration(statements_, registration); });
}

absl::Status SqliteTransaction::PutVms(const HostId& host, const std::vector<VmRecord>& vms) {
  return Write("put VMs", [&] { WriteVms(statements_, host, vms); });
}

absl::Status SqliteTransaction::PutRepositories(const HostId& host,
                                                const std::vector<RepositoryRecord>& repositories) {
  return Write("put repositories", [&] { WriteRepositories(statements_, host, repositories); });
}

absl::Status SqliteTransaction::PutAcknowledged(const HostId& host, int64_t sequence) {
  return Write("put acknowledged", [&] { WriteAcknowledged(statements_, host, sequence); });
}

absl::Status SqliteTransaction::PutLastSeen(const HostId& host, absl::Time seen) {
  return Write("put last seen", [&] { WriteLastSeen(statements_, host, seen); });
}

}  // namespace vmkeep::controller
