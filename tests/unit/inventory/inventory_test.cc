#include "tests/unit/inventory/inventory_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace vmkeep::controller::test {
namespace {

using ::testing::IsEmpty;
using vmkeep::test::IsOk;

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

TEST_F(InventoryTest, AReconnectWritesNothing) {
  ASSERT_THAT(Register("kvm-1", "unix:/run/a"), IsOk());
  ASSERT_THAT(Hello("kvm-1", "e-1"), IsOk());
  const int64_t mutations = store_->stats().mutations;
  ASSERT_THAT(Hello("kvm-1", "e-1"), IsOk());
  EXPECT_EQ(store_->stats().mutations, mutations);
}

TEST_F(InventoryTest, ARepositoryThatIsNotProbedYetStaysAsItIsKnown) {
  ASSERT_THAT(Register("kvm-1", "unix:/run/a"), IsOk());
  inventory_->RecordInventory("kvm-1", {}, {Repository(1, 5)});
  RepositoryRecord unprobed;
  unprobed.slot = 1;
  inventory_->RecordInventory("kvm-1", {}, {unprobed});
  ASSERT_EQ(inventory_->ListRepositories("kvm-1").size(), 1U);
  EXPECT_EQ(inventory_->ListRepositories("kvm-1")[0].health, Health::kHealthy);
  EXPECT_EQ(inventory_->ListRepositories("kvm-1")[0].id, Repository(1, 5).id);
  unprobed.path = "/mnt/another";
  inventory_->RecordInventory("kvm-1", {}, {unprobed});
  EXPECT_EQ(inventory_->ListRepositories("kvm-1")[0].health, Health::kUnknown);
}

TEST_F(InventoryTest, AvailabilityLivesInMemory) {
  ASSERT_THAT(Register("kvm-1", "unix:/run/a"), IsOk());
  changes_ = 0;
  inventory_->SetAvailability("kvm-1", Availability::kOnline, "");
  inventory_->SetAvailability("kvm-1", Availability::kUnreachable, "no route: check its network");
  inventory_->SetAvailability("kvm-1", Availability::kUnreachable, "no route: check its network");
  inventory_->SetAvailability("nowhere", Availability::kOnline, "");
  EXPECT_EQ(changes_, 2);
  EXPECT_EQ(inventory_->GetHost("kvm-1")->message, "no route: check its network");
  Restart();
  EXPECT_EQ(inventory_->GetHost("kvm-1")->availability, Availability::kUnknown);
}

TEST_F(InventoryTest, WhenAHostLastSpokeIsKnownAtOnceAndWrittenNowAndThen) {
  ASSERT_THAT(Register("kvm-1", "unix:/run/a"), IsOk());
  EXPECT_EQ(inventory_->GetHost("kvm-1")->record.last_seen, std::nullopt);
  inventory_->RecordSeen("kvm-1");
  inventory_->RecordSeen("nowhere");
  const absl::Time first = clock_.Now();
  AwaitStore();
  int64_t mutations = store_->stats().mutations;
  for (int second = 0; second < 300; ++second) {
    clock_.Advance(absl::Seconds(1));
    inventory_->RecordSeen("kvm-1");
  }
  EXPECT_EQ(inventory_->GetHost("kvm-1")->record.last_seen, clock_.Now());
  EXPECT_EQ(store_->stats().mutations, mutations);
  Restart();
  EXPECT_EQ(inventory_->GetHost("kvm-1")->record.last_seen, first) << "as after a crash";

  clock_.Advance(absl::Seconds(1));
  inventory_->RecordSeen("kvm-1");  // more than five minutes newer
  AwaitStore();
  mutations = store_->stats().mutations;
  inventory_->SetAvailability("kvm-1", Availability::kOnline, "");
  clock_.Advance(absl::Seconds(9));
  inventory_->RecordSeen("kvm-1");
  const absl::Time last = clock_.Now();
  ASSERT_THAT(Hello("kvm-1", "e-1"), IsOk());
  EXPECT_EQ(inventory_->GetHost("kvm-1")->record.last_seen, last) << "a Hello takes nothing back";
  clock_.Advance(absl::Hours(1));
  inventory_->SetAvailability("kvm-1", Availability::kUnreachable, "no route");
  inventory_->SetAvailability("kvm-1", Availability::kUnreachable, "still no route");
  AwaitStore();
  EXPECT_EQ(store_->stats().mutations, mutations + 3)
      << "the Hello, last seen, and the wait for it";
  Restart();
  EXPECT_EQ(inventory_->GetHost("kvm-1")->record.last_seen, last);
  for (int i = 0; i < 2; ++i) {
    clock_.Advance(absl::Seconds(1));
    inventory_->RecordSeen("kvm-1");
  }
  inventory_->FlushSeen();  // as at a stop
  Restart();
  EXPECT_EQ(inventory_->GetHost("kvm-1")->record.last_seen, clock_.Now());
}

// All three in one group of the store, behind a mutation that waits.
TEST_F(InventoryTest, AReportThatCrossesTheDeletionOfItsHostLeavesNothing) {
  ASSERT_THAT(Register("kvm-1", "unix:/run/a"), IsOk());
  std::promise<void> gate;
  store_->Commit(
      [opened = gate.get_future().share()](StoreTransaction&) {
        opened.wait();
        return std::vector<BackupRecord>();
      },
      [](const auto&) {});
  std::promise<absl::Status> deleted;
  inventory_->DeleteHost("kvm-1", [&](const absl::Status& status) { deleted.set_value(status); });
  inventory_->RecordInventory("kvm-1", {Vm(1)}, {Repository(1, 5)});
  inventory_->RecordSeen("kvm-1");
  gate.set_value();
  EXPECT_THAT(deleted.get_future().get(), IsOk());
  AwaitStore();
  EXPECT_THAT(inventory_->ListVms("local"), IsEmpty());
  Restart();
  EXPECT_THAT(inventory_->ListHosts(), IsEmpty());
  EXPECT_THAT(inventory_->ListVms("local"), IsEmpty());
  EXPECT_THAT(inventory_->ListAllRepositories(), IsEmpty());
}

TEST_F(InventoryTest, VmsOnAnOverlayAreListedByThemselves) {
  ASSERT_THAT(Register("kvm-1", "unix:/run/a"), IsOk());
  inventory_->RecordInventory("kvm-1", {Vm(1), Vm(2, 7)}, {});
  const std::vector<VmRecord> on_overlay = inventory_->ListVmsOnOverlay();
  ASSERT_EQ(on_overlay.size(), 1u);
  EXPECT_EQ(on_overlay[0].name, "vm-2");
}

TEST_F(InventoryTest, WhatAHostHasIsKnownAtOnceAndAfterARestart) {
  ASSERT_THAT(Register("kvm-1", "unix:/run/a"), IsOk());
  inventory_->RecordInventory("kvm-1", {Vm(1), Vm(2, 7)},
                              {Repository(2, 5), Repository(1, 6), Repository(1, 9)});
  const auto check = [&] {
    EXPECT_EQ(inventory_->ListVms("local").size(), 2u);
    VMKEEP_ASSERT_OK_AND_ASSIGN(const ResolvedVm vm, inventory_->ResolveVm("local", "vm-2"));
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
  EXPECT_EQ(inventory_->ListVms("local").front().vm.overlay->bytes, 8);
  EXPECT_EQ(store_->stats().mutations, mutations);
  inventory_->RecordInventory("kvm-1", {Vm(1)}, {Repository(1, 4)});  // merged
  AwaitStore();
  EXPECT_EQ(store_->stats().mutations, mutations + 2);
}

TEST_F(InventoryTest, NothingIsKeptOfAHostThatNobodyRegistered) {
  inventory_->RecordInventory("nowhere", {Vm(1)}, {Repository(1, 5)});
  EXPECT_THAT(inventory_->ListVms("local"), IsEmpty());
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
      inventory_->ResolveVm("local", "vm-101").IgnoreError();
      inventory_->ListVms("local");
      inventory_->ListHosts();
      inventory_->ListAllRepositories();
    }
  });
  for (std::thread& thread : threads) thread.join();
  AwaitStore();
  EXPECT_EQ(inventory_->ListVms("local").size(), 3u);
  Restart();
  EXPECT_EQ(inventory_->ListVms("local").size(), 3u);
}

}  // namespace
}  // namespace vmkeep::controller::test
