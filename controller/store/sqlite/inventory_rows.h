#ifndef VMKEEP_CONTROLLER_STORE_SQLITE_INVENTORY_ROWS_H_
#define VMKEEP_CONTROLLER_STORE_SQLITE_INVENTORY_ROWS_H_

#include "controller/domain/inventory.h"
#include "controller/store/sqlite/statements.h"

#include "absl/time/time.h"

#include <cstdint>
#include <optional>
#include <vector>

// Hosts, VMs and repositories to and from their tables. Everything here may throw
// SQLite::Exception.
namespace vmkeep::controller {

std::vector<HostRecord> ReadHosts(Statements& statements);  // by id
std::optional<HostRecord> ReadHost(Statements& statements, const HostId& id);
std::vector<VmRecord> ReadVms(Statements& statements);                    // by host, UUID
std::vector<RepositoryRecord> ReadRepositories(Statements& statements);   // by host, slot
std::vector<VmRegistration> ReadVmRegistrations(Statements& statements);  // by project, id

void WriteHost(Statements& statements, const HostRecord& host);
void RemoveHost(Statements& statements, const HostId& host);  // with its VMs and repositories
void WriteVmRegistration(Statements& statements, const VmRegistration& registration);
void WriteAcknowledged(Statements& statements, const HostId& host, int64_t sequence);
void WriteLastSeen(Statements& statements, const HostId& host, absl::Time seen);
void WriteVms(Statements& statements, const HostId& host, const std::vector<VmRecord>& vms);
void WriteRepositories(Statements& statements, const HostId& host,
                       const std::vector<RepositoryRecord>& repositories);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_STORE_SQLITE_INVENTORY_ROWS_H_
