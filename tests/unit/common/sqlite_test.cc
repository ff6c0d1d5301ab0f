#include "common/sqlite/database.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace vmkeep::sqlite {
namespace {

using test::HasReason;
using test::IsOk;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

class DatabaseTest : public testing::Test {
 protected:
  static std::string Ask(SQLite::Database& db, const std::string& sql) {
    return db.execAndGet(sql).getString();
  }

  test::TempDir folder_;
  const std::string path_ = folder_.path("x.db");
  const Migrations one_ = {"CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1)"};
  const Migrations two_ = {one_[0], "ALTER TABLE a ADD COLUMN y TEXT; UPDATE a SET y='new'"};
};

TEST_F(DatabaseTest, OpensWithWhatDurabilityNeeds) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto db, Open(path_, one_));
  EXPECT_EQ(Ask(*db, "PRAGMA journal_mode"), "wal");
  EXPECT_EQ(Ask(*db, "PRAGMA synchronous"), "2");  // FULL
  EXPECT_EQ(Ask(*db, "PRAGMA foreign_keys"), "1");
  EXPECT_EQ(Ask(*db, "PRAGMA user_version"), "1");
}

TEST_F(DatabaseTest, RunsOnlyTheMigrationsThatAreMissing) {
  {
    VMKEEP_ASSERT_OK_AND_ASSIGN(const auto db, Open(path_, one_));
  }
  for (int i = 0; i < 2; ++i) {
    VMKEEP_ASSERT_OK_AND_ASSIGN(const auto db, Open(path_, two_));
    EXPECT_EQ(Ask(*db, "SELECT count(*) || max(y) FROM a"), "1new");
    EXPECT_EQ(Ask(*db, "PRAGMA user_version"), "2");
  }
}

TEST_F(DatabaseTest, AMigrationThatFailsChangesNothing) {
  {
    VMKEEP_ASSERT_OK_AND_ASSIGN(const auto db, Open(path_, one_));
  }
  EXPECT_THAT(Open(path_, {one_[0], "INSERT INTO a VALUES (2); CREATE TABLE a (x)"}),
              HasReason("DATABASE_ERROR"));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto db, Open(path_, one_));
  EXPECT_EQ(Ask(*db, "SELECT count(*) FROM a"), "1");
}

TEST_F(DatabaseTest, RefusesWhatALaterVersionWrote) {
  {
    VMKEEP_ASSERT_OK_AND_ASSIGN(const auto db, Open(path_, two_));
  }
  EXPECT_THAT(Open(path_, one_),
              AllOf(StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("schema version 2")),
                    HasReason("DATABASE_NEWER")));
}

TEST_F(DatabaseTest, AReaderSeesWhatIsCommittedAndWritesNothing) {
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto writer, Open(path_, one_));
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto reader, OpenReader(path_));
  writer->exec("BEGIN; INSERT INTO a VALUES (2)");
  EXPECT_EQ(Ask(*reader, "SELECT count(*) FROM a"), "1");  // and does not wait for the writer
  writer->exec("COMMIT");
  EXPECT_EQ(Ask(*reader, "SELECT count(*) FROM a"), "2");
  EXPECT_THAT(Guard("write",
                    [&]() -> absl::Status {
                      reader->exec("INSERT INTO a VALUES (3)");
                      return absl::OkStatus();
                    }),
              StatusIs(absl::StatusCode::kInternal));
}

TEST_F(DatabaseTest, ExceptionsEndAtTheBorder) {
  EXPECT_FALSE(OpenReader(folder_.path("nowhere/x.db")).ok());
  EXPECT_FALSE(Open(folder_.path("nowhere/x.db"), one_).ok());
  VMKEEP_ASSERT_OK_AND_ASSIGN(const auto db, Open(path_, one_));
  const absl::Status failed = Guard("count", [&]() -> absl::Status {
    db->exec("SELECT nonsense");
    return absl::OkStatus();
  });
  EXPECT_THAT(failed, AllOf(StatusIs(absl::StatusCode::kInternal, HasSubstr("count: ")),
                            HasReason("DATABASE_ERROR")));
}

}  // namespace
}  // namespace vmkeep::sqlite
