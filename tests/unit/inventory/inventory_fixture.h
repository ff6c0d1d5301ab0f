#ifndef VMKEEP_TESTS_UNIT_INVENTORY_INVENTORY_FIXTURE_H_
#define VMKEEP_TESTS_UNIT_INVENTORY_INVENTORY_FIXTURE_H_

#include "controller/inventory/inventory.h"
#include "controller/store/sqlite/sqlite_backup_store.h"
#include "tests/contract/store/sample_records.h"
#include "tests/fakes/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <utility>

namespace vmkeep::controller::test {

// An inventory on a store of its own, which can be started again.
class InventoryTest : public testing::Test {
 protected:
  InventoryTest() { Restart(); }

  void Restart() {
    inventory_.reset();
    store_.reset();
    store_ = *SqliteBackupStore::Open(folder_.path("db"), clock_);
    inventory_ = std::make_unique<Inventory>(*store_, clock_);
    inventory_->OnChange([this] { ++changes_; });
    ASSERT_THAT(inventory_->Load(), vmkeep::test::IsOk());
  }
  absl::StatusOr<HostView> Register(const HostId& id, const std::string& address) {
    std::promise<absl::StatusOr<HostView>> answer;
    inventory_->RegisterHost(
        id, address, [&](absl::StatusOr<HostView> view) { answer.set_value(std::move(view)); });
    return answer.get_future().get();
  }
  absl::Status Hello(const HostId& id, const std::string& executor_id,
                     const std::string& version = "0.1.0") {
    HostRecord seen;
    seen.id = id;
    seen.executor_id = executor_id;
    seen.hostname = id + ".example";
    seen.hypervisor = "sim";
    seen.version = version;
    seen.simulated = true;
    std::promise<absl::Status> answer;
    inventory_->RecordHello(seen, [&](const absl::Status& status) { answer.set_value(status); });
    return answer.get_future().get();
  }
  absl::StatusOr<HostView> Update(const HostId& id, const Inventory::HostChange& change) {
    std::promise<absl::StatusOr<HostView>> answer;
    inventory_->UpdateHost(
        id, change, [&](absl::StatusOr<HostView> view) { answer.set_value(std::move(view)); });
    return answer.get_future().get();
  }
  absl::Status RegisterVm(const std::string& id, const std::string& uuid) {
    std::promise<absl::Status> answer;
    inventory_->RegisterVm({"local", id, uuid},
                           [&](const absl::Status& status) { answer.set_value(status); });
    return answer.get_future().get();
  }
  // After every commit before it.
  void AwaitStore() { ASSERT_THAT(CommitAndWait(*store_, Putting({})), vmkeep::test::IsOk()); }
  static VmRecord Vm(int number, int64_t overlay_bytes = 0) {
    VmRecord vm;
    vm.uuid = Uuid(number);
    vm.name = absl::StrCat("vm-", number);
    vm.power = PowerState::kOn;
    if (overlay_bytes > 0) vm.overlay = Overlay{At(1), overlay_bytes, Uuid(50), {"/x"}, false, ""};
    return vm;
  }
  static RepositoryRecord Repository(int slot, int64_t free_bytes) {
    RepositoryRecord repository;
    repository.id = Uuid(700 + slot);
    repository.slot = slot;
    repository.total_bytes = 1000;
    repository.free_bytes = free_bytes;
    repository.health = Health::kHealthy;
    return repository;
  }

  vmkeep::test::TempDir folder_;
  vmkeep::test::FakeClock clock_;
  std::atomic<int> changes_ = 0;
  std::unique_ptr<SqliteBackupStore> store_;
  std::unique_ptr<Inventory> inventory_;
};

}  // namespace vmkeep::controller::test

#endif  // VMKEEP_TESTS_UNIT_INVENTORY_INVENTORY_FIXTURE_H_
