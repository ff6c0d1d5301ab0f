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
#include <thread>
#include <vector>

namespace vmkeep::controller {
namespace {

using test::Uuid;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using vmkeep::test::FakeClock;
using vmkeep::test::HasReason;
using vmkeep::test::IsOk;
using vmkeep::test::StatusIs;

class InventoryTest : public testing::Test {
 protected:
  InventoryTest() { Restart(); }

  void Restart() {
    inventory_.reset();
    store_.reset();
    store_ = *SqliteBackupStore::Open(folder_.path("db"), clock_);
    inventory_ = std::make_unique<Inventory>(*store_, clock_);
    inventory_->OnChange([this] { ++changes_; });
    ASSERT_THAT(inventory_->Load(), IsOk());
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
  // After every commit before it.
  void AwaitStore() { ASSERT_THAT(CommitAndWait(*store_, test::Putting({})), IsOk()); }
  static VmRecord Vm(int number, int64_t overlay_bytes = 0) {
    VmRecord vm;
    vm.uuid = Uuid(number);
    vm.name = absl::StrCat("vm-", number);
    vm.power = PowerState::kOn;
    if (overlay_bytes > 0)
      vm.overlay = Overlay{test::At(1), overlay_bytes, Uuid(50), {"/x"}, false, ""};
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
  FakeClock clock_;
  std::atomic<int> changes_ = 0;
  std::unique_ptr<SqliteBackupStore> store_;
  std::unique_ptr<Inventory> inventory_;
};

TEST_F(InventoryTest, ARegisteredHostIsDurableWhenItIsAnswered) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const HostView host, Register("kvm-1", "unix:/run/a"));
  EXPECT_EQ(host.record.address, "unix:/run/a");
  EXPECT_EQ(host.availability, Availability::kUnknown);
  EXPECT_EQ(changes_, 1);
  Restart();
  ASSERT_TRUE(inventory_->GetHost("kvm-1").has_value());
  EXPECT_EQ(inventory_->GetHost("kvm-1")->record.address, "unix:/run/a");
  EXPECT_EQ(inventory_->GetHost("kvm-2"), std::nullopt);
}

TEST_F(InventoryTest, AnotherAddressKeepsThePinnedExecutor) {
  ASSERT_THAT(Register("kvm-1", "unix:/run/a"), IsOk());
  ASSERT_THAT(Hello("kvm-1", "e-1"), IsOk());
  VMKEEP_ASSERT_OK_AND_ASSIGN(const HostView host, Register("kvm-1", "unix:/run/b"));
  EXPECT_EQ(host.record.address, "unix:/run/b");
  EXPECT_EQ(host.record.executor_id, "e-1");
  EXPECT_EQ(host.record.hostname, "kvm-1.example");
}

TEST_F(InventoryTest, FirstContactPinsTheExecutor) {
  EXPECT_THAT(Hello("kvm-1", "e-1"), HasReason("HOST_NOT_FOUND"));
  ASSERT_THAT(Register("kvm-1", "unix:/run/a"), IsOk());
  ASSERT_THAT(Hello("kvm-1", "e-1"), IsOk());
  Restart();
  EXPECT_THAT(Hello("kvm-1", "e-2"),
              AllOf(StatusIs(absl::StatusCode::kFailedPrecondition), HasReason("HOST_CHANGED")));
  EXPECT_EQ(inventory_->GetHost("kvm-1")->record.executor_id, "e-1");
  EXPECT_THAT(Hello("kvm-1", "e-1", "0.2.0"), IsOk());
  EXPECT_EQ(inventory_->GetHost("kvm-1")->record.version, "0.2.0");
}

TEST_F(InventoryTest, OneExecutorIsOneHost) {
  ASSERT_THAT(Register("kvm-1", "unix:/run/a"), IsOk());
  ASSERT_THAT(Register("kvm-2", "unix:/run/a"), IsOk());
  ASSERT_THAT(Hello("kvm-1", "e-1"), IsOk());
  EXPECT_THAT(Hello("kvm-2", "e-1"), HasReason("EXECUTOR_TAKEN"));
}

TEST_F(InventoryTest, AReconnectWritesNothing) {
  ASSERT_THAT(Register("kvm-1", "unix:/run/a"), IsOk());
  ASSERT_THAT(Hello("kvm-1", "e-1"), IsOk());
  const int64_t mutations = store_->stats().mutations;
  ASSERT_THAT(Hello("kvm-1", "e-1"), IsOk());
  EXPECT_EQ(store_->stats().mutations, mutations);
}

TEST_F(InventoryTest, AvailabilityLivesInMemory) {
  ASSERT_THAT(Register("kvm-1", "unix:/run/a"), IsOk());
  changes_ = 0;
  inventory_->SetAvailability("kvm-1", Availability::kOnline, "");
  const absl::Time seen = clock_.Now();
  EXPECT_EQ(inventory_->GetHost("kvm-1")->last_seen, seen);
  clock_.Advance(absl::Minutes(5));
  inventory_->SetAvailability("kvm-1", Availability::kUnreachable, "no route: check its network");
  inventory_->SetAvailability("kvm-1", Availability::kUnreachable, "no route: check its network");
  inventory_->SetAvailability("nowhere", Availability::kOnline, "");
  EXPECT_EQ(changes_, 2);
  EXPECT_EQ(inventory_->GetHost("kvm-1")->last_seen, seen);
  EXPECT_EQ(inventory_->GetHost("kvm-1")->message, "no route: check its network");
  Restart();
  EXPECT_EQ(inventory_->GetHost("kvm-1")->availability, Availability::kUnknown);
}

TEST_F(InventoryTest, WhatAHostHasIsKnownAtOnceAndAfterARestart) {
  ASSERT_THAT(Register("kvm-1", "unix:/run/a"), IsOk());
  inventory_->RecordInventory("kvm-1", {Vm(1), Vm(2, 7)},
                              {Repository(2, 5), Repository(1, 6), Repository(1, 9)});
  const auto check = [&] {
    EXPECT_EQ(inventory_->ListVms().size(), 2u);
    VMKEEP_ASSERT_OK_AND_ASSIGN(const ResolvedVm vm, inventory_->ResolveVm("vm-2"));
    EXPECT_EQ(vm.vm.host_id, "kvm-1");
    EXPECT_EQ(vm.vm.overlay->backup_id, Uuid(50));
    const std::vector<RepositoryRecord> repositories = inventory_->ListRepositories("kvm-1");
    ASSERT_EQ(repositories.size(), 2u);
    EXPECT_EQ(repositories[0].slot, 1);
    EXPECT_EQ(repositories[0].host_id, "kvm-1");
    EXPECT_EQ(repositories[0].free_bytes, 6);
    EXPECT_EQ(inventory_->ListAllRepositories(), repositories);
  };
  check();
  AwaitStore();
  Restart();
  check();
  EXPECT_THAT(inventory_->ListRepositories("kvm-2"), IsEmpty());
}

TEST_F(InventoryTest, OnlyMoreThanSizesIsWritten) {
  ASSERT_THAT(Register("kvm-1", "unix:/run/a"), IsOk());
  inventory_->RecordInventory("kvm-1", {Vm(1, 7)}, {Repository(1, 5)});
  AwaitStore();
  const int64_t mutations = store_->stats().mutations;
  inventory_->RecordInventory("kvm-1", {Vm(1, 8)}, {Repository(1, 4)});
  EXPECT_EQ(inventory_->ListRepositories("kvm-1").front().free_bytes, 4);
  EXPECT_EQ(inventory_->ListVms().front().vm.overlay->bytes, 8);
  EXPECT_EQ(store_->stats().mutations, mutations);
  inventory_->RecordInventory("kvm-1", {Vm(1)}, {Repository(1, 4)});  // merged
  AwaitStore();
  EXPECT_EQ(store_->stats().mutations, mutations + 2);
}

TEST_F(InventoryTest, NothingIsKeptOfAHostThatNobodyRegistered) {
  inventory_->RecordInventory("nowhere", {Vm(1)}, {Repository(1, 5)});
  EXPECT_THAT(inventory_->ListVms(), IsEmpty());
  EXPECT_THAT(inventory_->ListAllRepositories(), IsEmpty());
}

TEST_F(InventoryTest, AcknowledgedGoesForwardOnly) {
  ASSERT_THAT(Register("kvm-1", "unix:/run/a"), IsOk());
  inventory_->RecordAcknowledged("kvm-1", 7);
  inventory_->RecordAcknowledged("kvm-1", 5);
  inventory_->RecordAcknowledged("nowhere", 5);
  ASSERT_THAT(Hello("kvm-1", "e-1"), IsOk());
  ASSERT_THAT(Register("kvm-1", "unix:/run/b"), IsOk());
  inventory_->RecordAcknowledged("kvm-1", 9);
  ASSERT_THAT(Register("kvm-1", "unix:/run/c"), IsOk());
  EXPECT_EQ(inventory_->GetHost("kvm-1")->record.acknowledged_sequence, 9);
}

TEST_F(InventoryTest, ManyThreadsMayAskAndReport) {
  for (int host = 0; host < 3; ++host)
    ASSERT_THAT(Register(absl::StrCat("kvm-", host), "unix:/run/a"), IsOk());
  std::vector<std::thread> threads;
  for (int host = 0; host < 3; ++host) {
    threads.emplace_back([this, host] {
      for (int round = 0; round < 50; ++round) {
        inventory_->RecordInventory(absl::StrCat("kvm-", host), {Vm(100 * host + round % 7)},
                                    {Repository(1, round)});
        inventory_->SetAvailability(absl::StrCat("kvm-", host),
                                    static_cast<Availability>(round % 4), "");
      }
    });
  }
  threads.emplace_back([this] {
    for (int round = 0; round < 200; ++round) {
      inventory_->ResolveVm("vm-101").IgnoreError();
      inventory_->ListVms();
      inventory_->ListHosts();
      inventory_->ListAllRepositories();
    }
  });
  for (std::thread& thread : threads) thread.join();
  AwaitStore();
  EXPECT_EQ(inventory_->ListVms().size(), 3u);
  Restart();
  EXPECT_EQ(inventory_->ListVms().size(), 3u);
}

}  // namespace
}  // namespace vmkeep::controller
