#include "controller/service/create_backup.h"

#include "common/log.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controller/domain/errors.h"
#include "controller/service/vm_checks.h"

#include <memory>
#include <utility>
#include <vector>

namespace vmkeep::controller {
namespace {

// All that the decision needs besides the store, looked up before.
struct Request {
  Caller caller;
  CreateInput input;
  absl::StatusOr<ResolvedVm> vm;
  BackupRecord record;  // as it would be inserted; empty when `vm` is an error
};

BackupRecord NewRecord(const Caller& caller, const CreateInput& input, const ResolvedVm& resolved,
                       const Inventory& inventory, absl::Time now) {
  const VmRecord& vm = resolved.vm;
  BackupRecord record;
  record.project = caller.project;
  record.vm_id = resolved.id();
  record.vm_uuid = vm.uuid;
  record.vm_name = vm.name;
  record.labels = input.labels;
  record.quiesce = input.quiesce;
  record.requested_repository = input.repository;
  SetHost(inventory, vm.host_id, record);
  record.create_time = now;
  record.update_time = now;
  record.created_by = caller.principal;
  record.request_id = input.request_id;
  record.request_digest = input.request_digest;
  return record;
}

// What forbids a backup of this VM by this name now.
absl::Status CheckVm(StoreView& view, const Request& request) {
  const VmRecord& vm = request.vm->vm;
  const std::string& project = request.caller.project;
  VMKEEP_RETURN_IF_ERROR(CheckVmIsFree(view, project, vm));
  VMKEEP_ASSIGN_OR_RETURN(const auto taken, view.FindByName(project, vm.uuid, request.record.name));
  if (taken) return error::NameTaken(request.record.name, taken->id);
  return absl::OkStatus();
}

// The record that answers the request: one that is there already (its id is set), or the one to
// insert.
absl::StatusOr<BackupRecord> Decide(StoreView& view, const Request& request) {
  const CreateInput& input = request.input;
  if (!input.request_id.empty()) {
    // First of all: a repeat is answered even when the VM is gone by now.
    VMKEEP_ASSIGN_OR_RETURN(
        auto before,
        view.FindByRequest(request.caller.project, request.caller.principal, input.request_id));
    if (before && before->request_digest != input.request_digest) {
      return error::RequestIdReused(input.request_id, before->id);
    }
    if (before) return *std::move(before);
  }
  VMKEEP_RETURN_IF_ERROR(request.vm.status());
  VMKEEP_RETURN_IF_ERROR(CheckVm(view, request));
  BackupRecord record = request.record;
  VMKEEP_ASSIGN_OR_RETURN(record.reserved_bytes,
                          EstimateBytes(view, record.project, record.vm_uuid));
  return record;
}

}  // namespace

void CreateBackup(BackupStore& store, const Inventory& inventory, Clock& clock,
                  const Caller& caller, const CreateInput& input,
                  std::function<void(absl::StatusOr<BackupRecord>)> done) {
  auto request = std::make_shared<Request>(
      Request{caller, input, inventory.ResolveVm(caller.project, input.vm), {}});
  if (request->vm.ok()) {
    const absl::Time now = clock.Now();
    request->record = NewRecord(caller, input, *request->vm, inventory, now);
    auto name = ExpandName(input.name, now);
    if (!name.ok()) return done(name.status());
    request->record.name = *std::move(name);
  }
  if (input.validate_only) {
    store.Read([request, done = std::move(done)](absl::StatusOr<StoreView*> view) {
      done(view.ok() ? Decide(**view, *request) : view.status());
    });
    return;
  }
  request->record.id = NewUuid7(request->record.create_time);
  auto answer = std::make_shared<BackupRecord>();
  auto mutation = [request, answer](
                      StoreTransaction& transaction) -> absl::StatusOr<std::vector<BackupRecord>> {
    VMKEEP_ASSIGN_OR_RETURN(*answer, Decide(transaction, *request));
    if (answer->id != request->record.id) return std::vector<BackupRecord>();  // a repeat
    VMKEEP_ASSIGN_OR_RETURN(*answer, transaction.Put(*answer));
    return std::vector<BackupRecord>{*answer};
  };
  store.Commit(std::move(mutation), [answer, done = std::move(done)](const auto& committed) {
    if (!committed.ok()) return done(committed.status());
    if (!committed->empty()) {
      log::Info("backup_requested", {{"backup", answer->id},
                                     {"host", answer->host_id},
                                     {"vm", answer->vm_uuid},
                                     {"by", answer->created_by}});
    }
    done(*answer);
  });
}

}  // namespace vmkeep::controller
