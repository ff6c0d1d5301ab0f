#ifndef VMKEEP_TESTS_INTEGRATION_CONTROLLER_WALK_WALK_RULES_H_
#define VMKEEP_TESTS_INTEGRATION_CONTROLLER_WALK_WALK_RULES_H_

#include "controller/domain/backup.h"
#include "controller/domain/inventory.h"
#include "controller/service/validate.h"
#include "tests/integration/controller/walk/walk_host.h"

#include "absl/time/time.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::controller::test {

// The rules of the API written down a second time, from design's words and not from the code: what
// a call must answer in a situation, and where a record may go. Holds the situation; knows nothing
// of stores, of the scheduler, or of time.
struct WalkRules {
  std::vector<BackupRecord> backups;                           // by number, before the call
  std::set<HostId> hosts;                                      // registered
  std::map<HostId, std::map<std::string, VmRecord>> reported;  // by host and UUID, as last heard
  std::map<std::string, std::string> registered;               // VM id -> UUID
  absl::Time now;

  // The reason of the refusal; empty: OK.
  std::string Create(const CreateInput& input) const;
  std::string Update(int number, const UpdateInput& input) const;
  std::string Retry(int number, const std::string& etag) const;
  std::string UpdateHost(const HostId& id, bool with_executor) const;
  std::string DeleteHost(const HostId& id) const;
  std::string RegisterVm(const std::string& id, const std::string& uuid) const;

  // Where a backup may be after its task ended so and its host was heard.
  static std::set<BackupState> AfterEnd(const BackupRecord& before, const WalkEnd& end);
  // Whether it goes on in the other repository.
  static bool Moves(const BackupRecord& before, const WalkEnd& end);
  static bool MayGo(BackupState from, BackupState to);

 private:
  struct Found {
    std::string reason;
    std::string uuid;
    HostId host;
  };
  Found Find(const std::string& spelling) const;
  std::string Busy(const Found& vm) const;  // what forbids work on it
  std::string Named(const std::string& name) const;
  const BackupRecord* Get(int number) const;
};

}  // namespace vmkeep::controller::test

#endif  // VMKEEP_TESTS_INTEGRATION_CONTROLLER_WALK_WALK_RULES_H_
