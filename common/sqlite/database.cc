#include "common/sqlite/database.h"

#include "common/error.h"

#include "absl/strings/str_cat.h"
#include <sqlite3.h>

namespace vmkeep::sqlite {
namespace {

constexpr int kBusyMillis = 10'000;

void Configure(SQLite::Database& db) {
  db.setBusyTimeout(kBusyMillis);
  db.exec("PRAGMA foreign_keys=ON");
}

absl::Status Migrate(SQLite::Database& db, const std::string& path, const Migrations& migrations) {
  const int version = db.execAndGet("PRAGMA user_version").getInt();
  const int wanted = static_cast<int>(migrations.size());
  if (version > wanted) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "DATABASE_NEWER",
        absl::StrCat(path, " has schema version ", version, ", this program knows up to ", wanted,
                     ": start the version of vmkeep that wrote it, or a later one"));
  }
  for (int next = version; next < wanted; ++next) {
    SQLite::Transaction transaction(db);
    db.exec(migrations[next]);
    db.exec(absl::StrCat("PRAGMA user_version=", next + 1));
    transaction.commit();
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ToStatus(absl::string_view what, const SQLite::Exception& error) {
  const int primary = error.getErrorCode() & 0xff;
  const bool passing = primary == SQLITE_FULL || primary == SQLITE_IOERR || primary == SQLITE_BUSY;
  return MakeError(passing ? absl::StatusCode::kUnavailable : absl::StatusCode::kInternal,
                   "DATABASE_ERROR", absl::StrCat(what, ": ", error.what()),
                   {{"sqlite_code", absl::StrCat(error.getExtendedErrorCode())}});
}

absl::StatusOr<std::unique_ptr<SQLite::Database>> Open(const std::string& path,
                                                       const Migrations& migrations) {
  return Guard(
      absl::StrCat("open ", path), [&]() -> absl::StatusOr<std::unique_ptr<SQLite::Database>> {
        auto db =
            std::make_unique<SQLite::Database>(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
        Configure(*db);
        db->exec("PRAGMA journal_mode=WAL");
        db->exec("PRAGMA synchronous=FULL");
        if (absl::Status status = Migrate(*db, path, migrations); !status.ok()) return status;
        return db;
      });
}

absl::StatusOr<std::unique_ptr<SQLite::Database>> OpenReader(const std::string& path) {
  return Guard(absl::StrCat("open ", path),
               [&]() -> absl::StatusOr<std::unique_ptr<SQLite::Database>> {
                 auto db = std::make_unique<SQLite::Database>(path, SQLite::OPEN_READONLY);
                 Configure(*db);
                 return db;
               });
}

}  // namespace vmkeep::sqlite
