#ifndef VMKEEP_TESTS_SIMULATION_SIM_STORE_H_
#define VMKEEP_TESTS_SIMULATION_SIM_STORE_H_

#include "controller/store/backup_store.h"
#include "tests/fakes/memory_store_content.h"
#include "tests/simulation/trace.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::sim {

// The disk below the controller's store: it outlives the controller.
struct StoreDisk {
  controller::test::MemoryStoreContent content;
  bool failing = false;  // every commit fails
};

// A BackupStore on that disk: group commit in virtual time, and nothing is answered before it is
// durable. Destroying it is a crash: what was not durable is lost, what was may be unanswered.
class SimStore final : public controller::BackupStore {
 public:
  SimStore(Base& base, StoreDisk& disk) : base_(base), disk_(disk) {}

  void Commit(Mutation mutation, Done done) override;
  void Read(Query query) override { controller::test::Look(disk_.content, base_.clock, query); }
  std::string controller_id() const override { return "00000000-0000-4000-8000-00000000c0c0"; }
  void SetObserver(Observer observer) override { observer_ = std::move(observer); }

 private:
  struct Asked {
    Mutation mutation;
    Done done;
  };
  void Write();
  void Answer(const std::vector<std::function<void()>>& answers);

  Base& base_;
  StoreDisk& disk_;
  Observer observer_;
  std::vector<Asked> queue_;
  bool busy_ = false;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // while this object is
};

}  // namespace vmkeep::sim

#endif  // VMKEEP_TESTS_SIMULATION_SIM_STORE_H_
