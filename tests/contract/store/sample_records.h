#ifndef VMKEEP_TESTS_CONTRACT_STORE_SAMPLE_RECORDS_H_
#define VMKEEP_TESTS_CONTRACT_STORE_SAMPLE_RECORDS_H_

#include "common/uuid.h"
#include "controller/domain/backup.h"
#include "controller/domain/inventory.h"
#include "controller/domain/states.h"
#include "controller/store/backup_store.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include <ostream>
#include <string>
#include <utility>
#include <vector>

// Records for tests of whatever stands on a store.
namespace vmkeep::controller {

inline void PrintTo(const BackupRecord& record, std::ostream* out) {
  *out << record.id << " \"" << record.name << "\" " << StateName(record.state)
       << " vm=" << record.vm_uuid << " host=" << record.host_id
       << " repository=" << record.repository << " epoch=" << record.epoch
       << " revision=" << record.revision << " created=" << record.create_time
       << " updated=" << record.update_time;
}

}  // namespace vmkeep::controller

namespace vmkeep::controller::test {

// A UUID that is the same in every run: 00000000-0000-4000-8000-<number>.
inline std::string Uuid(int number) {
  return absl::StrCat("00000000-0000-4000-8000-", absl::Dec(number, absl::kZeroPad12));
}

inline absl::Time At(int seconds) { return absl::FromUnixSeconds(1'750'000'000 + seconds); }

// REQUESTED backup `number` of its own VM.
inline BackupRecord MakeRecord(int number) {
  BackupRecord record;
  record.id = Uuid(number);
  record.project = "local";
  record.vm_uuid = Uuid(900'000 + number);
  record.vm_id = record.vm_uuid;
  record.vm_name = absl::StrCat("vm-", number);
  record.name = absl::StrCat("backup ", number);
  record.host_id = "kvm-1";
  record.hypervisor = "sim";
  record.create_time = At(number);
  record.created_by = "alice";
  return record;
}

inline HostRecord MakeHost(const HostId& id) {
  HostRecord host;
  host.id = id;
  host.address = "unix:/run/" + id;
  return host;
}

inline BackupQuery LocalQuery() {
  BackupQuery query;
  query.project = "local";
  return query;
}

// A mutation that puts these.
inline BackupStore::Mutation Putting(std::vector<BackupRecord> records) {
  return [records = std::move(records)](
             StoreTransaction& transaction) -> absl::StatusOr<std::vector<BackupRecord>> {
    std::vector<BackupRecord> put;
    for (const BackupRecord& record : records) {
      absl::StatusOr<BackupRecord> stored = transaction.Put(record);
      if (!stored.ok()) return stored.status();
      put.push_back(*std::move(stored));
    }
    return put;
  };
}

// Puts one and answers it as stored.
inline absl::StatusOr<BackupRecord> PutNow(BackupStore& store, const BackupRecord& record) {
  absl::StatusOr<std::vector<BackupRecord>> put = CommitAndWait(store, Putting({record}));
  if (!put.ok()) return put.status();
  return put->front();
}

}  // namespace vmkeep::controller::test

#endif  // VMKEEP_TESTS_CONTRACT_STORE_SAMPLE_RECORDS_H_
