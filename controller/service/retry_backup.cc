#include "controller/service/retry_backup.h"

#include "common/log.h"
#include "common/status_macros.h"
#include "controller/domain/errors.h"
#include "controller/domain/lifecycle.h"
#include "controller/service/convert.h"
#include "controller/service/vm_checks.h"

#include <memory>
#include <utility>
#include <vector>

namespace vmkeep::controller {
namespace {

// The record as it is to be queued.
absl::StatusOr<BackupRecord> Retried(StoreView& view, const Inventory& inventory,
                                     const BackupRecord& record, const std::string& etag) {
  if (!etag.empty() && etag != EtagOf(record)) {
    return error::EtagMismatch(record.id, etag, EtagOf(record));
  }
  VMKEEP_ASSIGN_OR_RETURN(BackupRecord next, RequestRetry(record));
  VMKEEP_ASSIGN_OR_RETURN(const ResolvedVm vm, inventory.ResolveVm(record.project, record.vm_uuid));
  VMKEEP_RETURN_IF_ERROR(CheckVmIsFree(view, record.project, vm.vm));
  VMKEEP_ASSIGN_OR_RETURN(next.reserved_bytes, EstimateBytes(view, record.project, record.vm_uuid));
  if (record.files_may_exist && record.host_id != vm.vm.host_id)
    return error::FilesOnOtherHost(record, vm.vm.host_id);
  SetHost(inventory, vm.vm.host_id, next);
  return next;
}

}  // namespace

void RetryBackup(BackupStore& store, const Inventory& inventory, const Caller& caller,
                 const RetryInput& input, std::function<void(absl::StatusOr<BackupRecord>)> done) {
  auto answer = std::make_shared<BackupRecord>();
  auto mutation = [&inventory, project = caller.project, input, answer](
                      StoreTransaction& transaction) -> absl::StatusOr<std::vector<BackupRecord>> {
    VMKEEP_ASSIGN_OR_RETURN(const auto record, transaction.Get(project, input.id));
    if (!record) return error::BackupNotFound(input.id);
    VMKEEP_ASSIGN_OR_RETURN(BackupRecord next,
                            Retried(transaction, inventory, *record, input.etag));
    VMKEEP_ASSIGN_OR_RETURN(*answer, transaction.Put(std::move(next)));
    return std::vector<BackupRecord>{*answer};
  };
  store.Commit(std::move(mutation), [answer, principal = caller.principal,
                                     done = std::move(done)](const auto& committed) {
    if (!committed.ok()) return done(committed.status());
    log::Info("backup_retried",
              {{"backup", answer->id}, {"host", answer->host_id}, {"by", principal}});
    done(*answer);
  });
}

}  // namespace vmkeep::controller
