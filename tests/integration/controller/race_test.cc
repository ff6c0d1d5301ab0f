#include "common/clock.h"
#include "common/error.h"
#include "controller/inventory/inventory.h"
#include "controller/service/create_backup.h"
#include "controller/service/retry_backup.h"
#include "controller/store/sqlite/sqlite_backup_store.h"
#include "tests/contract/store/sample_records.h"
#include "tests/fakes/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

// Calls that cross the deletion of their host: all of them wait behind one mutation of the store
// and then run in a group, in the order in which they came.
namespace vmkeep::controller::test {
namespace {

using vmkeep::test::HasReason;
using vmkeep::test::IsOk;

class RaceTest : public testing::Test {
 protected:
  RaceTest() {
    for (const HostId host : {"kvm-1", "kvm-2"}) {
      std::promise<absl::Status> registered;
      inventory_.RegisterHost(host, "unix:/run/" + host, [&](const absl::StatusOr<HostView>& view) {
        registered.set_value(view.status());
      });
      EXPECT_THAT(registered.get_future().get(), IsOk());
    }
    VmRecord vm;
    vm.uuid = Uuid(7);
    vm.name = "web-1";
    vm.power = PowerState::kOn;
    inventory_.RecordInventory("kvm-2", {vm}, {});
    EXPECT_THAT(CommitAndWait(*store_, Putting({})), IsOk());
    store_->Commit(
        [opened = gate_.get_future().share()](StoreTransaction&) {
          opened.wait();
          return std::vector<BackupRecord>();
        },
        [](const auto&) {});
  }

  void Delete(const HostId& host) {
    inventory_.DeleteHost(host, [this](const absl::Status& status) { deleted_.set_value(status); });
  }
  template <typename Call>
  std::future<absl::Status> Answer(Call call) {
    auto answer = std::make_shared<std::promise<absl::Status>>();
    call([answer](const absl::StatusOr<BackupRecord>& record) {
      answer->set_value(record.status());
    });
    return answer->get_future();
  }
  std::future<absl::Status> Create() {
    CreateInput input;
    input.vm = "web-1";
    input.name = "nightly";
    return Answer([&](auto done) {
      CreateBackup(*store_, inventory_, clock_, caller_, input, std::move(done));
    });
  }
  size_t Count() {
    size_t count = 0;
    EXPECT_THAT(ReadAndWait(*store_,
                            [&](StoreView& view) -> absl::Status {
                              VMKEEP_ASSIGN_OR_RETURN(const auto all, view.List(LocalQuery()));
                              count = all.size();
                              return absl::OkStatus();
                            }),
                IsOk());
    return count;
  }

  vmkeep::test::TempDir folder_;
  vmkeep::test::FakeClock clock_;
  std::unique_ptr<SqliteBackupStore> store_ = *SqliteBackupStore::Open(folder_.path("db"), clock_);
  Inventory inventory_{*store_, clock_};
  const Caller caller_{"alice", "local", Role::kUser};
  std::promise<void> gate_;
  std::promise<absl::Status> deleted_;
};

TEST_F(RaceTest, ABackupIsNotMadeForAHostThatIsDeletedJustBefore) {
  Delete("kvm-2");
  auto created = Create();
  gate_.set_value();
  EXPECT_THAT(deleted_.get_future().get(), IsOk());
  EXPECT_THAT(created.get(), HasReason("VM_NOT_FOUND"));
  EXPECT_EQ(Count(), 0u);
}

TEST_F(RaceTest, AHostIsNotDeletedWhenABackupOfItCameJustBefore) {
  auto created = Create();
  Delete("kvm-2");
  gate_.set_value();
  EXPECT_THAT(created.get(), IsOk());
  EXPECT_THAT(deleted_.get_future().get(), HasReason("HOST_IN_USE"));
}

// The failed try was on kvm-1, the VM is on kvm-2 by now.
TEST_F(RaceTest, ARetryDoesNotMoveToAHostThatIsDeletedJustBefore) {
  BackupRecord failed = MakeRecord(1);
  failed.vm_uuid = Uuid(7);
  failed.state = BackupState::kUnresourced;
  store_->Commit(Putting({failed}), [](const auto& put) { EXPECT_THAT(put, IsOk()); });
  Delete("kvm-2");
  auto retried = Answer([&](auto done) {
    RetryBackup(*store_, inventory_, caller_, {failed.id, ""}, std::move(done));
  });
  gate_.set_value();
  EXPECT_THAT(deleted_.get_future().get(), IsOk());
  EXPECT_THAT(retried.get(), HasReason("VM_NOT_FOUND"));
}

}  // namespace
}  // namespace vmkeep::controller::test
