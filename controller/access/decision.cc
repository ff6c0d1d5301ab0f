#include "controller/access/decision.h"

#include "controller/access/errors.h"

#include <algorithm>
#include <array>

namespace vmkeep::controller {
namespace {

struct Entry {
  absl::string_view method;
  Role role = Role::kUser;
};

constexpr std::array kTable = {
    Entry{"/vmkeep.v1.BackupService/CreateBackup", Role::kUser},
    Entry{"/vmkeep.v1.BackupService/GetBackup", Role::kUser},
    Entry{"/vmkeep.v1.BackupService/ListBackups", Role::kUser},
    Entry{"/vmkeep.v1.BackupService/UpdateBackup", Role::kUser},
    Entry{"/vmkeep.v1.BackupService/RetryBackup", Role::kUser},
    Entry{"/vmkeep.v1.BackupService/WatchBackups", Role::kUser},
    Entry{"/vmkeep.v1.InventoryService/RegisterHost", Role::kOperator},
    Entry{"/vmkeep.v1.InventoryService/GetHost", Role::kUser},
    Entry{"/vmkeep.v1.InventoryService/ListHosts", Role::kUser},
    Entry{"/vmkeep.v1.InventoryService/UpdateHost", Role::kOperator},
    Entry{"/vmkeep.v1.InventoryService/DeleteHost", Role::kOperator},
    Entry{"/vmkeep.v1.InventoryService/RegisterVm", Role::kUser},
    Entry{"/vmkeep.v1.InventoryService/GetVm", Role::kUser},
    Entry{"/vmkeep.v1.InventoryService/ListVms", Role::kUser},
    Entry{"/vmkeep.v1.InventoryService/InitRepository", Role::kOperator},
    Entry{"/vmkeep.v1.InventoryService/ListRepositories", Role::kUser},
};

const Entry* Find(absl::string_view method) {
  const auto* found = std::find_if(kTable.begin(), kTable.end(),
                                   [&](const Entry& entry) { return entry.method == method; });
  return found == kTable.end() ? nullptr : found;
}

}  // namespace

absl::Status Authorize(const Caller& caller, absl::string_view method) {
  const Entry* entry = Find(method);
  if (entry == nullptr || caller.role < entry->role) {
    return error::AccessDenied(caller.principal, method);
  }
  return absl::OkStatus();
}

bool HasEntry(absl::string_view method) { return Find(method) != nullptr; }

}  // namespace vmkeep::controller
