// A store that an earlier version left is opened, brought up to date, and read back whole.
#include "common/sqlite/database.h"
#include "controller/domain/lifecycle.h"
#include "controller/store/sqlite/schema.h"
#include "controller/store/sqlite/sqlite_backup_store.h"
#include "tests/fakes/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace vmkeep::controller::test {
namespace {

using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using vmkeep::test::IsOk;

class UpgradeTest : public testing::Test {
 protected:
  void SetUp() override {
    std::ifstream file(VMKEEP_FIXTURES "/controller_store/v1.sql");
    std::stringstream sql;
    sql << file.rdbuf();
    ASSERT_FALSE(sql.str().empty());
    SQLite::Database db(path_, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    db.exec(sql.str());
  }

  vmkeep::test::TempDir folder_;
  const std::string path_ = folder_.path("controller.db");
  vmkeep::test::FakeClock clock_;
};

TEST_F(UpgradeTest, AStoreOfTheFirstSchemaIsReadBackWhole) {
  std::vector<BackupRecord> records;
  std::vector<BackupRecord> open;
  std::vector<HostRecord> hosts;
  std::vector<VmRecord> vms;
  std::vector<RepositoryRecord> repositories;
  std::vector<VmRegistration> registrations;
  {
    VMKEEP_ASSERT_OK_AND_ASSIGN(const auto store, SqliteBackupStore::Open(path_, clock_));
    EXPECT_EQ(store->controller_id(), "484b89a0-4ae5-4724-9257-af5508b477a5");
    ASSERT_THAT(ReadAndWait(*store,
                            [&](StoreView& view) -> absl::Status {
                              EXPECT_EQ(view.revision(), 27);
                              VMKEEP_ASSIGN_OR_RETURN(records, view.ChangedSince("local", 0, 100));
                              VMKEEP_ASSIGN_OR_RETURN(open, view.ListOpen());
                              VMKEEP_ASSIGN_OR_RETURN(hosts, view.ListHosts());
                              VMKEEP_ASSIGN_OR_RETURN(vms, view.ListVms());
                              VMKEEP_ASSIGN_OR_RETURN(repositories, view.ListRepositories());
                              VMKEEP_ASSIGN_OR_RETURN(registrations, view.ListVmRegistrations());
                              return absl::OkStatus();
                            }),
                IsOk());
  }
  std::map<std::string, BackupRecord> by_name;
  for (const BackupRecord& record : records) by_name[record.name] = record;
  std::map<std::string, BackupState> states;
  for (const auto& [name, record] : by_name) states[name] = record.state;
  EXPECT_THAT(states, UnorderedElementsAre(Pair("requested", BackupState::kRequested),
                                           Pair("building", BackupState::kBuilding),
                                           Pair("unresourced", BackupState::kUnresourced),
                                           Pair("running", BackupState::kRunning),
                                           Pair("scrub", BackupState::kScrub),
                                           Pair("scrubbing", BackupState::kScrubbing),
                                           Pair("closed", BackupState::kClosed)));
  EXPECT_EQ(by_name["running"].labels, (Labels{{"suite", "fixture"}}));
  EXPECT_EQ(by_name["running"].manifest_sha256.size(), 64);
  EXPECT_EQ(by_name["unresourced"].failure->reason, "REPOSITORY_UNINITIALIZED");
  EXPECT_EQ(by_name["unresourced"].failure->metadata.at("host_id"), "kvm-1");
  EXPECT_EQ(by_name["closed"].scrub_level, "REMOVED");
  // What is owed to each is what was owed before.
  EXPECT_THAT(open, SizeIs(4));
  EXPECT_EQ(NeedOf(by_name["building"]), Need::kAwaitTask);
  EXPECT_EQ(NeedOf(by_name["scrub"]), Need::kScrubTask);
  EXPECT_EQ(NeedOf(by_name["scrubbing"]), Need::kAwaitTask);
  EXPECT_EQ(NeedOf(by_name["requested"]), Need::kBackupTask);
  ASSERT_THAT(hosts, SizeIs(1));
  EXPECT_EQ(hosts[0].acknowledged_sequence, 40);
  EXPECT_FALSE(hosts[0].draining) << "what is new begins as it was before there was such a thing";
  EXPECT_THAT(vms, SizeIs(4));
  EXPECT_THAT(repositories, SizeIs(2));
  EXPECT_TRUE(registrations.empty());
}

// The schema before this one, with what it brought.
TEST_F(UpgradeTest, AStoreOfTheSecondSchemaKeepsItsDrainAndItsRegistrations) {
  {
    const sqlite::Migrations second(StoreMigrations().begin(), StoreMigrations().begin() + 2);
    VMKEEP_ASSERT_OK_AND_ASSIGN(const auto db, sqlite::Open(path_, second));
    ASSERT_EQ(db->execAndGet("PRAGMA user_version").getInt(), 2);
    db->exec("UPDATE host SET draining=1");
    db->exec("INSERT INTO vm_registration (project, id, uuid) VALUES ('local', 'shop', 'u-1')");
  }
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto store, SqliteBackupStore::Open(path_, clock_));
  ASSERT_THAT(ReadAndWait(*store,
                          [](StoreView& view) -> absl::Status {
                            VMKEEP_ASSIGN_OR_RETURN(const auto hosts, view.ListHosts());
                            EXPECT_TRUE(hosts.at(0).draining);
                            EXPECT_EQ(hosts.at(0).acknowledged_sequence, 40);
                            EXPECT_EQ(hosts.at(0).last_seen, std::nullopt);
                            VMKEEP_ASSIGN_OR_RETURN(const auto vms, view.ListVmRegistrations());
                            EXPECT_EQ(vms, (std::vector<VmRegistration>{{"local", "shop", "u-1"}}));
                            return absl::OkStatus();
                          }),
              IsOk());
}

TEST_F(UpgradeTest, AnOverlayOfTheThirdSchemaHasNothingInItsWay) {
  {
    const sqlite::Migrations third(StoreMigrations().begin(), StoreMigrations().begin() + 3);
    VMKEEP_ASSERT_OK_AND_ASSIGN(const auto db, sqlite::Open(path_, third));
    db->exec(
        "UPDATE vm SET overlay_since=1, overlay_bytes=2, overlay_backup_id='b', "
        "overlay_needs_attention=1, overlay_remedy='wait'");
  }
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto store, SqliteBackupStore::Open(path_, clock_));
  ASSERT_THAT(ReadAndWait(*store,
                          [](StoreView& view) -> absl::Status {
                            VMKEEP_ASSIGN_OR_RETURN(const auto vms, view.ListVms());
                            EXPECT_EQ(vms.at(0).overlay->remedy, "wait");
                            EXPECT_EQ(vms.at(0).overlay->reason, "");
                            EXPECT_FALSE(vms.at(0).overlay->files_only);
                            return absl::OkStatus();
                          }),
              IsOk());
}

TEST_F(UpgradeTest, OfARepositoryOfTheFourthSchemaItIsNotKnownWhatIsBehindIt) {
  {
    const sqlite::Migrations fourth(StoreMigrations().begin(), StoreMigrations().begin() + 4);
    VMKEEP_ASSERT_OK_AND_ASSIGN(const auto db, sqlite::Open(path_, fourth));
    db->exec("UPDATE repository SET message='ill'");
  }
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto store, SqliteBackupStore::Open(path_, clock_));
  ASSERT_THAT(ReadAndWait(*store,
                          [](StoreView& view) -> absl::Status {
                            VMKEEP_ASSIGN_OR_RETURN(const auto repositories,
                                                    view.ListRepositories());
                            EXPECT_EQ(repositories.at(0).message, "ill");
                            EXPECT_EQ(repositories.at(0).target, "");
                            return absl::OkStatus();
                          }),
              IsOk());
}

TEST_F(UpgradeTest, ItIsBroughtUpToDateOnce) {
  for (int open = 0; open < 2; ++open) {
    VMKEEP_ASSERT_OK_AND_ASSIGN(const auto store, SqliteBackupStore::Open(path_, clock_));
  }
  SQLite::Database db(path_, SQLite::OPEN_READONLY);
  EXPECT_EQ(db.execAndGet("PRAGMA user_version").getInt(),
            static_cast<int>(StoreMigrations().size()));
}

}  // namespace
}  // namespace vmkeep::controller::test
