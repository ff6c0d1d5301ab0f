#ifndef VMKEEP_TESTS_FAKES_MEMORY_STORE_CONTENT_H_
#define VMKEEP_TESTS_FAKES_MEMORY_STORE_CONTENT_H_

#include "common/clock.h"
#include "controller/store/backup_store.h"

#include "absl/status/statusor.h"

#include <cstdint>
#include <map>
#include <vector>

// The content of a store on plain maps, and what mutations and queries do to it: in the caller's
// thread, at once.
namespace vmkeep::controller::test {

// All that a store holds: a value, so that a mutation can be undone by forgetting its copy.
struct MemoryStoreContent {
  int64_t revision = 0;
  std::map<BackupId, BackupRecord> backups;
  std::map<HostId, HostRecord> hosts;
  std::map<HostId, std::vector<VmRecord>> vms;
  std::map<HostId, std::vector<RepositoryRecord>> repositories;
  std::vector<VmRegistration> registrations;
};

// All of the mutation or nothing of it. `put`: what it put, the newest of each record, by revision.
absl::StatusOr<std::vector<BackupRecord>> Mutate(MemoryStoreContent& content, Clock& clock,
                                                 const BackupStore::Mutation& mutation,
                                                 std::vector<BackupRecord>& put);
void Look(MemoryStoreContent& content, Clock& clock, const BackupStore::Query& query);

}  // namespace vmkeep::controller::test

#endif  // VMKEEP_TESTS_FAKES_MEMORY_STORE_CONTENT_H_
