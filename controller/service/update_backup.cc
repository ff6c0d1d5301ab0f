#include "controller/service/update_backup.h"

#include "common/log.h"
#include "common/status_macros.h"
#include "controller/domain/errors.h"
#include "controller/domain/lifecycle.h"
#include "controller/domain/states.h"
#include "controller/service/convert.h"
#include "controller/service/errors.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace vmkeep::controller {
namespace {

absl::Status CheckName(StoreView& view, const BackupRecord& record, const std::string& name) {
  VMKEEP_ASSIGN_OR_RETURN(const auto taken, view.FindByName(record.project, record.vm_uuid, name));
  return taken && taken->id != record.id ? error::NameTaken(name, taken->id) : absl::OkStatus();
}

// The record as it is asked to be.
absl::StatusOr<BackupRecord> Change(StoreView& view, const BackupRecord& record,
                                    const UpdateInput& input) {
  if (!input.etag.empty() && input.etag != EtagOf(record)) {
    return error::EtagMismatch(record.id, input.etag, EtagOf(record));
  }
  BackupRecord next = record;
  if (input.scrub) {
    VMKEEP_ASSIGN_OR_RETURN(next, RequestScrub(record));
  }
  if (record.state == BackupState::kClosed) return error::BackupClosed(record.id);
  if (input.name) {
    VMKEEP_RETURN_IF_ERROR(CheckName(view, record, *input.name));
    next.name = *input.name;
  }
  if (input.labels) next.labels = *input.labels;
  return next;
}

bool SameForUsers(const BackupRecord& a, const BackupRecord& b) {
  return a.state == b.state && a.name == b.name && a.labels == b.labels;
}

}  // namespace

void UpdateBackup(BackupStore& store, Clock& clock, const Caller& caller, UpdateInput input,
                  std::function<void(absl::StatusOr<BackupRecord>)> done) {
  if (input.name) {
    auto name = ExpandName(*input.name, clock.Now());
    if (!name.ok()) return done(name.status());
    input.name = *std::move(name);
  }
  auto answer = std::make_shared<BackupRecord>();
  auto mutation = [caller, input = std::move(input), answer](
                      StoreTransaction& transaction) -> absl::StatusOr<std::vector<BackupRecord>> {
    VMKEEP_ASSIGN_OR_RETURN(const auto record, transaction.Get(caller.project, input.id));
    if (!record) return error::BackupNotFound(input.id);
    VMKEEP_ASSIGN_OR_RETURN(*answer, Change(transaction, *record, input));
    if (SameForUsers(*record, *answer)) return std::vector<BackupRecord>();
    VMKEEP_ASSIGN_OR_RETURN(*answer, transaction.Put(*answer));
    return std::vector<BackupRecord>{*answer};
  };
  store.Commit(std::move(mutation), [answer, principal = caller.principal,
                                     done = std::move(done)](const auto& committed) {
    if (!committed.ok()) return done(committed.status());
    if (!committed->empty()) {
      log::Info("backup_updated", {{"backup", answer->id},
                                   {"host", answer->host_id},
                                   {"state", StateName(answer->state)},
                                   {"by", principal}});
    }
    done(*answer);
  });
}

}  // namespace vmkeep::controller
