#ifndef VMKEEP_TESTS_FAKES_MEMORY_BACKUP_STORE_H_
#define VMKEEP_TESTS_FAKES_MEMORY_BACKUP_STORE_H_

#include "common/clock.h"
#include "controller/store/backup_store.h"

#include "absl/status/statusor.h"

#include <memory>
#include <string>

namespace vmkeep::controller::test {

// A BackupStore without SQL, for comparisons with the real one: plain maps, one thread, each
// mutation on a copy that is kept when it ends well. Records are judged by Matches() alone. Stores
// of one name are one store, as long as the process lives: what was committed outlives the object.
class MemoryBackupStore final : public BackupStore {
 public:
  // STORE_LOCKED while another object has the name.
  static absl::StatusOr<std::unique_ptr<MemoryBackupStore>> Open(const std::string& name,
                                                                 Clock& clock);
  ~MemoryBackupStore() override;  // finishes what it was asked for

  void Commit(Mutation mutation, Done done) override;
  void Read(Query query) override;
  std::string controller_id() const override;
  void SetObserver(Observer observer) override;

 private:
  class Impl;
  explicit MemoryBackupStore(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace vmkeep::controller::test

#endif  // VMKEEP_TESTS_FAKES_MEMORY_BACKUP_STORE_H_
