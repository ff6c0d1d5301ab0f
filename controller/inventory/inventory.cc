#include "controller/inventory/inventory.h"

#include "common/error.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "controller/domain/errors.h"
#include "controller/inventory/inventory_memory.h"

#include <algorithm>
#include <utility>

namespace vmkeep::controller {
namespace {

using Records = std::vector<BackupRecord>;

// The host as pinned by what answered its Hello.
absl::StatusOr<HostRecord> Pin(StoreView& view, const HostRecord& seen) {
  VMKEEP_ASSIGN_OR_RETURN(const std::vector<HostRecord> hosts, view.ListHosts());
  const HostRecord* known = nullptr;
  for (const HostRecord& host : hosts) {
    if (host.id == seen.id) {
      known = &host;
    } else if (host.executor_id == seen.executor_id) {
      return error::ExecutorTaken(seen.executor_id, host.id);
    }
  }
  if (known == nullptr) return error::HostNotFound(seen.id);
  if (!known->executor_id.empty() && known->executor_id != seen.executor_id) {
    return error::HostChanged(seen.id, known->executor_id, seen.executor_id);
  }
  HostRecord pinned = seen;
  pinned.address = known->address;
  pinned.draining = known->draining;
  pinned.acknowledged_sequence = known->acknowledged_sequence;
  pinned.last_seen = known->last_seen;
  return pinned;
}

// `refused`: the executor that answered last and was not the pinned one.
absl::StatusOr<HostRecord> Changed(StoreView& view, const HostId& id,
                                   const Inventory::HostChange& change,
                                   const std::string& refused) {
  VMKEEP_ASSIGN_OR_RETURN(const std::vector<HostRecord> hosts, view.ListHosts());
  std::optional<HostRecord> changed;
  for (const HostRecord& host : hosts) {
    if (host.id == id) {
      changed = host;
    } else if (change.executor_id && host.executor_id == *change.executor_id) {
      return error::ExecutorTaken(host.executor_id, host.id);
    }
  }
  if (!changed) return error::HostNotFound(id);
  changed->draining = change.draining.value_or(changed->draining);
  if (change.executor_id && changed->executor_id != *change.executor_id) {
    if (*change.executor_id != refused) {
      return error::ExecutorNotSeen(id, *change.executor_id, refused);
    }
    changed->executor_id = *change.executor_id;
    changed->acknowledged_sequence = 0;  // another executor counts its events anew
  }
  return *std::move(changed);
}

absl::Status CheckUnused(StoreView& view, const HostId& id) {
  VMKEEP_ASSIGN_OR_RETURN(const std::optional<HostRecord> host, view.GetHost(id));
  if (!host) return error::HostNotFound(id);
  BackupQuery query;
  query.project = kAnyProject;
  query.filter.host_ids = {id};
  query.limit = 1;
  VMKEEP_ASSIGN_OR_RETURN(const std::vector<BackupRecord> backups, view.List(query));
  return backups.empty() ? absl::OkStatus() : error::HostInUse(id);
}

}  // namespace

Inventory::Inventory(BackupStore& store, Clock& clock)
    : store_(store), memory_(std::make_shared<InventoryMemory>(clock)) {}

absl::Status Inventory::Load() {
  return ReadAndWait(store_, [this](StoreView& view) -> absl::Status {
    VMKEEP_ASSIGN_OR_RETURN(std::vector<HostRecord> hosts, view.ListHosts());
    VMKEEP_ASSIGN_OR_RETURN(const std::vector<VmRecord> vms, view.ListVms());
    VMKEEP_ASSIGN_OR_RETURN(const std::vector<RepositoryRecord> repositories,
                            view.ListRepositories());
    VMKEEP_ASSIGN_OR_RETURN(const std::vector<VmRegistration> registrations,
                            view.ListVmRegistrations());
    memory_->Load(std::move(hosts), vms, repositories);
    for (const VmRegistration& it : registrations) memory_->AddVmRegistration(it);
    return absl::OkStatus();
  });
}

void Inventory::RegisterHost(HostId id, std::string address,
                             std::function<void(absl::StatusOr<HostView>)> done) {
  const auto host = std::make_shared<HostRecord>();
  store_.Commit(
      [host, id = std::move(id),
       address = std::move(address)](StoreTransaction& transaction) -> absl::StatusOr<Records> {
        VMKEEP_ASSIGN_OR_RETURN(std::optional<HostRecord> known, transaction.GetHost(id));
        const bool same = known && known->address == address;
        *host = known.value_or(HostRecord());
        host->id = id;
        host->address = address;
        if (!same) VMKEEP_RETURN_IF_ERROR(transaction.PutHost(*host));
        return Records();
      },
      [host, memory = memory_, done = std::move(done)](const absl::StatusOr<Records>& committed) {
        if (!committed.ok()) return done(committed.status());
        done(memory->SetHost(*host));
      });
}

void Inventory::RecordHello(const HostRecord& seen, std::function<void(absl::Status)> done) {
  if (memory_->Knows(seen)) {  // as at every reconnect: nothing to write
    memory_->SetRefusedExecutor(seen.id, "");
    return done(absl::OkStatus());
  }
  const auto pinned = std::make_shared<HostRecord>();
  store_.Commit(
      [pinned, seen](StoreTransaction& transaction) -> absl::StatusOr<Records> {
        VMKEEP_ASSIGN_OR_RETURN(*pinned, Pin(transaction, seen));
        VMKEEP_RETURN_IF_ERROR(transaction.PutHost(*pinned));
        return Records();
      },
      [pinned, seen, memory = memory_,
       done = std::move(done)](const absl::StatusOr<Records>& committed) {
        if (committed.ok()) {
          memory->SetHost(*pinned);
          memory->SetRefusedExecutor(seen.id, "");
        } else if (ErrorReason(committed.status()) == "HOST_CHANGED") {
          memory->SetRefusedExecutor(seen.id, seen.executor_id);
        }
        done(committed.status());
      });
}

void Inventory::UpdateHost(HostId id, HostChange change,
                           std::function<void(absl::StatusOr<HostView>)> done) {
  const auto host = std::make_shared<HostRecord>();
  store_.Commit(
      [host, id = std::move(id), change = std::move(change),
       memory = memory_](StoreTransaction& transaction) -> absl::StatusOr<Records> {
        VMKEEP_ASSIGN_OR_RETURN(*host,
                                Changed(transaction, id, change, memory->RefusedExecutor(id)));
        VMKEEP_RETURN_IF_ERROR(transaction.PutHost(*host));
        return Records();
      },
      [host, memory = memory_, done = std::move(done)](const absl::StatusOr<Records>& committed) {
        if (!committed.ok()) return done(committed.status());
        done(memory->SetHost(*host));
      });
}

void Inventory::DeleteHost(const HostId& id, std::function<void(absl::Status)> done) {
  store_.Commit(
      [id](StoreTransaction& transaction) -> absl::StatusOr<Records> {
        VMKEEP_RETURN_IF_ERROR(CheckUnused(transaction, id));
        VMKEEP_RETURN_IF_ERROR(transaction.DeleteHost(id));
        return Records();
      },
      [id, memory = memory_, done = std::move(done)](const absl::StatusOr<Records>& committed) {
        if (committed.ok()) memory->RemoveHost(id);
        done(committed.status());
      });
}

void Inventory::RegisterVm(const VmRegistration& registration,
                           std::function<void(absl::Status)> done) {
  store_.Commit(
      [registration, memory = memory_](StoreTransaction& transaction) -> absl::StatusOr<Records> {
        VMKEEP_ASSIGN_OR_RETURN(const auto known, transaction.ListVmRegistrations());
        if (std::find(known.begin(), known.end(), registration) != known.end()) return Records();
        VMKEEP_RETURN_IF_ERROR(transaction.AddVmRegistration(registration));
        VMKEEP_RETURN_IF_ERROR(memory->CheckIsNoName(registration.id, registration.uuid));
        return Records();
      },
      [registration, memory = memory_,
       done = std::move(done)](const absl::StatusOr<Records>& committed) {
        if (committed.ok()) memory->AddVmRegistration(registration);
        done(committed.status());
      });
}

void Inventory::SetAvailability(const HostId& id, Availability availability,
                                absl::string_view message) {
  if (memory_->SetAvailability(id, availability, message)) WriteSeen(id);
}

void Inventory::RecordSeen(const HostId& id) {
  if (memory_->SetSeen(id)) WriteSeen(id);
}

void Inventory::FlushSeen() {
  for (const HostId& id : memory_->TakeUnwrittenSeen()) WriteSeen(id);
}

// Not tried again when it fails: the next one is due in a few minutes.
void Inventory::WriteSeen(const HostId& id) {
  const std::optional<HostView> host = memory_->GetHost(id);
  if (!host || !host->record.last_seen) return;
  store_.Commit(
      [id,
       seen = *host->record.last_seen](StoreTransaction& transaction) -> absl::StatusOr<Records> {
        VMKEEP_RETURN_IF_ERROR(transaction.PutLastSeen(id, seen));
        return Records();
      },
      [](const absl::StatusOr<Records>&) {});
}

void Inventory::RecordInventory(const HostId& id, std::vector<VmRecord> vms,
                                std::vector<RepositoryRecord> repositories) {
  if (!memory_->SetInventory(id, std::move(vms), std::move(repositories))) return;
  store_.Commit(
      [memory = memory_, id](StoreTransaction& transaction) -> absl::StatusOr<Records> {
        // Deleted meanwhile: nothing of it may stay.
        VMKEEP_ASSIGN_OR_RETURN(const std::optional<HostRecord> host, transaction.GetHost(id));
        if (!host) return Records();
        // As it is known by now: a later report may have overtaken this commit.
        VMKEEP_RETURN_IF_ERROR(transaction.PutVms(id, memory->VmsOf(id)));
        VMKEEP_RETURN_IF_ERROR(transaction.PutRepositories(id, memory->ListRepositories(id)));
        return Records();
      },
      [memory = memory_, id](const absl::StatusOr<Records>& committed) {
        if (committed.ok()) return;
        log::Warning("inventory_not_stored",
                     {{"host", id}, {"error", committed.status().message()}});
        memory->SetUnwritten(id);  // with the next report
      });
}

void Inventory::RecordAcknowledged(const HostId& id, int64_t sequence) {
  memory_->SetAcknowledged(id, sequence);
}

std::optional<HostView> Inventory::GetHost(absl::string_view id) const {
  return memory_->GetHost(id);
}
std::vector<HostView> Inventory::ListHosts() const { return memory_->ListHosts(); }
std::vector<ResolvedVm> Inventory::ListVms(absl::string_view project) const {
  return memory_->ListVms(project);
}
std::vector<VmRecord> Inventory::ListVmsOnOverlay() const { return memory_->ListVmsOnOverlay(); }
std::vector<RepositoryRecord> Inventory::ListRepositories(absl::string_view host_id) const {
  return memory_->ListRepositories(host_id);
}
std::vector<RepositoryRecord> Inventory::ListAllRepositories() const {
  return memory_->ListAllRepositories();
}
absl::StatusOr<ResolvedVm> Inventory::ResolveVm(absl::string_view project,
                                                absl::string_view spelling) const {
  return memory_->ResolveVm(project, spelling);
}
std::string Inventory::UuidOf(absl::string_view project, absl::string_view spelling) const {
  return memory_->UuidOf(project, spelling);
}
void Inventory::OnChange(std::function<void()> changed) { memory_->OnChange(std::move(changed)); }

}  // namespace vmkeep::controller
