#include "controller/store/sqlite/inventory_rows.h"

#include "absl/strings/str_cat.h"

#include <string>

namespace vmkeep::controller {
namespace {

// The columns of the row, in their order.
template <typename... Values>
void ReadRow(SQLite::Statement& row, Values&... values) {
  int index = 0;
  (ReadValue(row.getColumn(index++), values), ...);
}

constexpr char kSelectHosts[] =
    "SELECT id, address, executor_id, hostname, hypervisor, version, simulated, draining, "
    "acknowledged_sequence, last_seen FROM host";

HostRecord ReadHostRow(SQLite::Statement& row) {
  HostRecord host;
  ReadRow(row, host.id, host.address, host.executor_id, host.hostname, host.hypervisor,
          host.version, host.simulated, host.draining, host.acknowledged_sequence, host.last_seen);
  return host;
}

void WriteVm(Statements& statements, const HostId& host, const VmRecord& vm) {
  const std::optional<Overlay>& overlay = vm.overlay;
  const auto of_overlay = [&]<typename T>(T Overlay::* member) {
    return overlay ? std::optional<T>((*overlay).*member) : std::nullopt;
  };
  statements.Run(
      "INSERT INTO vm (host_id, uuid, name, power, overlay_since, overlay_bytes, overlay_backup_id,"
      " overlay_needs_attention, overlay_remedy, overlay_reason, overlay_message,"
      " overlay_files_only) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
      host, vm.uuid, vm.name, vm.power, of_overlay(&Overlay::since), of_overlay(&Overlay::bytes),
      of_overlay(&Overlay::backup_id), of_overlay(&Overlay::needs_attention),
      of_overlay(&Overlay::remedy), of_overlay(&Overlay::reason), of_overlay(&Overlay::message),
      of_overlay(&Overlay::files_only));
  if (!overlay) return;
  int ord = 0;
  for (const std::string& path : overlay->files) {
    statements.Run("INSERT INTO vm_overlay_file (host_id, uuid, ord, path) VALUES (?,?,?,?)", host,
                   vm.uuid, ord++, path);
  }
}

void ReadOverlayFiles(Statements& statements, VmRecord& vm) {
  BoundStatement rows =
      statements.Bind("SELECT path FROM vm_overlay_file WHERE host_id=? AND uuid=? ORDER BY ord",
                      vm.host_id, vm.uuid);
  while (rows->executeStep()) vm.overlay->files.push_back(rows->getColumn(0).getString());
}

}  // namespace

std::vector<HostRecord> ReadHosts(Statements& statements) {
  std::vector<HostRecord> hosts;
  BoundStatement rows = statements.Bind(absl::StrCat(kSelectHosts, " ORDER BY id"));
  while (rows->executeStep()) hosts.push_back(ReadHostRow(*rows));
  return hosts;
}

std::optional<HostRecord> ReadHost(Statements& statements, const HostId& id) {
  BoundStatement row = statements.Bind(absl::StrCat(kSelectHosts, " WHERE id=?"), id);
  if (!row->executeStep()) return std::nullopt;
  return ReadHostRow(*row);
}

std::vector<VmRecord> ReadVms(Statements& statements) {
  std::vector<VmRecord> vms;
  BoundStatement rows = statements.Bind(
      "SELECT host_id, uuid, name, power, overlay_since, overlay_bytes, overlay_backup_id, "
      "overlay_needs_attention,"
      " overlay_remedy, COALESCE(overlay_reason, ''), COALESCE(overlay_message, ''),"
      " COALESCE(overlay_files_only, 0) FROM vm ORDER BY host_id, uuid");
  while (rows->executeStep()) {
    VmRecord& vm = vms.emplace_back();
    ReadRow(*rows, vm.host_id, vm.uuid, vm.name, vm.power);
    if (rows->getColumn(4).isNull()) continue;
    Overlay& overlay = vm.overlay.emplace();
    ReadValue(rows->getColumn(4), overlay.since);
    ReadValue(rows->getColumn(5), overlay.bytes);
    ReadValue(rows->getColumn(6), overlay.backup_id);
    ReadValue(rows->getColumn(7), overlay.needs_attention);
    ReadValue(rows->getColumn(8), overlay.remedy);
    ReadValue(rows->getColumn(9), overlay.reason);
    ReadValue(rows->getColumn(10), overlay.message);
    ReadValue(rows->getColumn(11), overlay.files_only);
    ReadOverlayFiles(statements, vm);
  }
  return vms;
}

std::vector<RepositoryRecord> ReadRepositories(Statements& statements) {
  std::vector<RepositoryRecord> repositories;
  BoundStatement rows = statements.Bind(
      "SELECT host_id, slot, id, path, total_bytes, free_bytes, health, message, target, "
      "probe_time FROM repository"
      " ORDER BY host_id, slot");
  while (rows->executeStep()) {
    RepositoryRecord& it = repositories.emplace_back();
    ReadRow(*rows, it.host_id, it.slot, it.id, it.path, it.total_bytes, it.free_bytes, it.health,
            it.message, it.target, it.probe_time);
  }
  return repositories;
}

std::vector<VmRegistration> ReadVmRegistrations(Statements& statements) {
  std::vector<VmRegistration> registrations;
  BoundStatement rows =
      statements.Bind("SELECT project, id, uuid FROM vm_registration ORDER BY project, id");
  while (rows->executeStep()) {
    VmRegistration& it = registrations.emplace_back();
    ReadRow(*rows, it.project, it.id, it.uuid);
  }
  return registrations;
}

void WriteHost(Statements& statements, const HostRecord& host) {
  statements.Run(
      "INSERT INTO host (id, address, executor_id, hostname, hypervisor, version, simulated, "
      "draining, acknowledged_sequence)"
      " VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET address=excluded.address, "
      "hostname=excluded.hostname,"
      " hypervisor=excluded.hypervisor, version=excluded.version, simulated=excluded.simulated,"
      " draining=excluded.draining,"
      // Another executor counts its events anew.
      " acknowledged_sequence=CASE WHEN executor_id=excluded.executor_id THEN acknowledged_sequence"
      " ELSE excluded.acknowledged_sequence END, executor_id=excluded.executor_id",
      host.id, host.address, host.executor_id, host.hostname, host.hypervisor, host.version,
      host.simulated, host.draining, host.acknowledged_sequence);
}

void RemoveHost(Statements& statements, const HostId& host) {
  WriteVms(statements, host, {});
  WriteRepositories(statements, host, {});
  statements.Run("DELETE FROM host WHERE id=?", host);
}

void WriteVmRegistration(Statements& statements, const VmRegistration& registration) {
  statements.Run("INSERT INTO vm_registration (project, id, uuid) VALUES (?,?,?)",
                 registration.project, registration.id, registration.uuid);
}

void WriteAcknowledged(Statements& statements, const HostId& host, int64_t sequence) {
  statements.Run(
      "UPDATE host SET acknowledged_sequence=?2 WHERE id=?1 AND acknowledged_sequence<?2", host,
      sequence);
}

void WriteLastSeen(Statements& statements, const HostId& host, absl::Time seen) {
  statements.Run("UPDATE host SET last_seen=?2 WHERE id=?1", host, seen);
}

void WriteVms(Statements& statements, const HostId& host, const std::vector<VmRecord>& vms) {
  statements.Run("DELETE FROM vm WHERE host_id=?", host);
  for (const VmRecord& vm : vms) WriteVm(statements, host, vm);
}

void WriteRepositories(Statements& statements, const HostId& host,
                       const std::vector<RepositoryRecord>& repositories) {
  statements.Run("DELETE FROM repository WHERE host_id=?", host);
  for (const RepositoryRecord& it : repositories) {
    statements.Run(
        "INSERT INTO repository (host_id, slot, id, path, total_bytes, free_bytes, health, "
        "message, target, probe_time)"
        " VALUES (?,?,?,?,?,?,?,?,?,?)",
        host, it.slot, it.id, it.path, it.total_bytes, it.free_bytes, it.health, it.message,
        it.target, it.probe_time);
  }
}

}  // namespace vmkeep::controller
