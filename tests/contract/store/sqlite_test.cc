// What is true of the embedded store only: how it groups, what its file survives, which file it
// refuses.
#include "common/sqlite/database.h"
#include "controller/store/sqlite/schema.h"
#include "controller/store/sqlite/sqlite_backup_store.h"
#include "tests/contract/store/sample_records.h"
#include "tests/fakes/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <future>
#include <string>
#include <vector>

namespace vmkeep::controller::test {
namespace {

using ::testing::AllOf;
using vmkeep::test::FakeClock;
using vmkeep::test::HasReason;
using vmkeep::test::IsOk;
using vmkeep::test::StatusIs;

class SqliteStoreTest : public testing::Test {
 protected:
  std::unique_ptr<SqliteBackupStore> Open() {
    absl::StatusOr<std::unique_ptr<SqliteBackupStore>> store =
        SqliteBackupStore::Open(path_, clock_);
    EXPECT_THAT(store, IsOk());
    return store.ok() ? *std::move(store) : nullptr;
  }
  static int Count(BackupStore& store) {
    int count = -1;
    EXPECT_THAT(ReadAndWait(store,
                            [&](StoreView& view) -> absl::Status {
                              VMKEEP_ASSIGN_OR_RETURN(const auto records,
                                                      view.ChangedSince("local", 0, 1'000'000));
                              count = static_cast<int>(records.size());
                              return absl::OkStatus();
                            }),
                IsOk());
    return count;
  }

  vmkeep::test::TempDir folder_;
  const std::string path_ = folder_.path("controller.db");
  FakeClock clock_;
};

// The promise of group commit: what waits while one fsync runs shares the next one.
TEST_F(SqliteStoreTest, WhatWaitsTogetherSharesOneCommit) {
  const auto store = Open();
  std::promise<void> gate;
  std::shared_future<void> opened = gate.get_future().share();
  std::promise<void> begun;
  store->Commit(
      [&begun, opened](StoreTransaction&) {
        begun.set_value();
        opened.wait();
        return std::vector<BackupRecord>();
      },
      [](const auto&) {});
  begun.get_future().wait();
  const SqliteBackupStore::Stats before = store->stats();
  constexpr int kMutations = 500;
  for (int i = 0; i < kMutations; ++i) store->Commit(Putting({MakeRecord(i)}), [](const auto&) {});
  gate.set_value();
  ASSERT_THAT(CommitAndWait(*store, Putting({})), IsOk());
  const SqliteBackupStore::Stats after = store->stats();
  EXPECT_GE(after.mutations - before.mutations, kMutations);
  EXPECT_LE(after.commits - before.commits, 3);  // the gate's, the 500, and perhaps the last alone
  EXPECT_EQ(Count(*store), kMutations);
}

// Starts crash_child on the folder and kills it after `lines` lines; answers what it said to be
// durable.
std::vector<int> KillAfter(const std::string& folder, int lines) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return {};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
  std::string program = VMKEEP_CRASH_CHILD;
  std::string argument = folder;
  char* argv[] = {program.data(), argument.data(), nullptr};
  pid_t pid = 0;
  const int spawned = posix_spawn(&pid, program.c_str(), &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(fds[1]);
  std::vector<int> durable;
  FILE* out = fdopen(fds[0], "r");
  int number = 0;
  while (spawned == 0 && static_cast<int>(durable.size()) < lines &&
         fscanf(out, "%d", &number) == 1) {
    durable.push_back(number);
  }
  if (spawned == 0) kill(pid, SIGKILL);
  while (fscanf(out, "%d\n", &number) == 1)
    durable.push_back(number);  // what it said before it died
  fclose(out);
  if (spawned == 0) waitpid(pid, nullptr, 0);
  return durable;
}

// What was answered is there after kill -9, and the store opens again: the dead process holds no
// lock.
TEST_F(SqliteStoreTest, WhatWasAnsweredSurvivesAKill) {
  for (const int lines : {1, 7, 40, 200}) {
    const vmkeep::test::TempDir folder;
    const std::vector<int> durable = KillAfter(folder.path(), lines);
    ASSERT_GE(static_cast<int>(durable.size()), lines);
    auto store = SqliteBackupStore::Open(folder.path("controller.db"), clock_);
    ASSERT_THAT(store, IsOk());
    EXPECT_THAT(ReadAndWait(**store,
                            [&](StoreView& view) -> absl::Status {
                              for (const int number : durable) {
                                VMKEEP_ASSIGN_OR_RETURN(const auto record,
                                                        view.Get("local", Uuid(number)));
                                EXPECT_TRUE(record.has_value()) << number;
                              }
                              return absl::OkStatus();
                            }),
                IsOk());
  }
}

TEST_F(SqliteStoreTest, RefusesAStoreOfALaterVersion) {
  {
    const auto store = Open();
  }
  {
    SQLite::Database db(path_, SQLite::OPEN_READWRITE);
    db.exec(absl::StrCat("PRAGMA user_version=", StoreMigrations().size() + 1));
  }
  EXPECT_THAT(SqliteBackupStore::Open(path_, clock_),
              AllOf(StatusIs(absl::StatusCode::kFailedPrecondition), HasReason("DATABASE_NEWER")));
}

TEST_F(SqliteStoreTest, RefusesAFileThatIsNoDatabase) {
  ASSERT_TRUE(vmkeep::test::WriteFile(path_, std::string(8192, 'x')));
  EXPECT_FALSE(SqliteBackupStore::Open(path_, clock_).ok());
}

TEST_F(SqliteStoreTest, TwoSpellingsOfAPathAreOneLock) {
  const auto store = Open();
  EXPECT_THAT(SqliteBackupStore::Open(folder_.path() + "/./controller.db", clock_),
              HasReason("STORE_LOCKED"));
}

// A full or failing disk: nothing is acknowledged that is not there, and it goes on when the disk
// does. Files of this process may not grow for a while, which SQLite meets as a write error.
TEST_F(SqliteStoreTest, AFullDiskIsUnavailableAndPasses) {
  const auto store = Open();
  ASSERT_THAT(PutNow(*store, MakeRecord(1)), IsOk());
  signal(SIGXFSZ, SIG_IGN);
  rlimit unlimited;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
  rlimit full = unlimited;
  full.rlim_cur = 1;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  std::vector<absl::Status> answers;
  for (int i = 2; i < 5; ++i) answers.push_back(PutNow(*store, MakeRecord(i)).status());
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
  for (const absl::Status& answer : answers) {
    EXPECT_THAT(answer,
                AllOf(StatusIs(absl::StatusCode::kUnavailable), HasReason("DATABASE_ERROR")));
  }
  EXPECT_EQ(Count(*store), 1);
  const absl::StatusOr<BackupRecord> again = PutNow(*store, MakeRecord(2));
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->revision, 2);  // the failed ones used up none
  EXPECT_EQ(Count(*store), 2);
}

// The hot paths: none may read a table from end to end.
TEST_F(SqliteStoreTest, HotQueriesUseAnIndex) {
  {
    const auto store = Open();
  }
  SQLite::Database db(path_, SQLite::OPEN_READONLY);
  const auto plan = [&](const std::string& where) {
    SQLite::Statement explain(db, "EXPLAIN QUERY PLAN SELECT * FROM backup b WHERE " + where);
    std::string text;
    while (explain.executeStep()) absl::StrAppend(&text, explain.getColumn(3).getString(), "\n");
    return text;
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(plan("b.project=? AND b.state<>99 ORDER BY b.create_time DESC, b.id DESC LIMIT 50"),
              AllOf(HasSubstr("backup_created"), testing::Not(HasSubstr("TEMP B-TREE"))));
  EXPECT_THAT(plan("b.vm_uuid=? AND b.state IN (1, 2)"), HasSubstr("backup_unfinished"));
  EXPECT_THAT(plan("b.project=? AND b.vm_uuid=? AND b.name=? AND b.state<>99"),
              HasSubstr("backup_name"));
  EXPECT_THAT(plan("b.project=? AND b.created_by=? AND b.request_id=? AND b.request_id<>''"),
              HasSubstr("backup_request"));
  EXPECT_THAT(plan("b.project=? AND b.state<>99 AND b.revision>? ORDER BY b.revision LIMIT 9"),
              AllOf(HasSubstr("backup_kept"), testing::Not(HasSubstr("TEMP B-TREE"))));
  EXPECT_THAT(plan("b.project=? AND b.revision>? ORDER BY b.revision LIMIT 9"),
              AllOf(HasSubstr("backup_revision"), testing::Not(HasSubstr("TEMP B-TREE"))));
  EXPECT_THAT(plan("b.state IN (1, 2, 8, 17) ORDER BY b.create_time, b.id"),
              HasSubstr("backup_open"));
}

}  // namespace
}  // namespace vmkeep::controller::test
