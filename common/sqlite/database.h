#ifndef VMKEEP_COMMON_SQLITE_DATABASE_H_
#define VMKEEP_COMMON_SQLITE_DATABASE_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include <SQLiteCpp/SQLiteCpp.h>

#include <memory>
#include <string>
#include <vector>

namespace vmkeep::sqlite {

// A forward migration: SQL that takes the schema from version N to N+1, N being its place in the
// list.
using Migrations = std::vector<std::string>;

// Opens or makes the database with what durability needs: WAL, synchronous=FULL, foreign keys, a
// bounded busy wait. Then runs the migrations that are missing, each in a transaction together with
// its `user_version`. FAILED_PRECONDITION, reason DATABASE_NEWER: a later version of vmkeep wrote
// it. The handle is for one thread at a time.
absl::StatusOr<std::unique_ptr<SQLite::Database>> Open(const std::string& path,
                                                       const Migrations& migrations);

// Opens an existing database to read beside the writer.
absl::StatusOr<std::unique_ptr<SQLite::Database>> OpenReader(const std::string& path);

// Runs `body`, which may throw SQLite::Exception, and makes a Status of it: the border where
// exceptions end. UNAVAILABLE for a full or failing disk (nothing was committed), INTERNAL for the
// rest; reason DATABASE_ERROR.
template <typename Body>
auto Guard(absl::string_view what, Body body) -> decltype(body());
absl::Status ToStatus(absl::string_view what, const SQLite::Exception& error);

template <typename Body>
auto Guard(absl::string_view what, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const SQLite::Exception& error) {
    return ToStatus(what, error);
  }
}

}  // namespace vmkeep::sqlite

#endif  // VMKEEP_COMMON_SQLITE_DATABASE_H_
