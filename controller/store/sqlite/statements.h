#ifndef VMKEEP_CONTROLLER_STORE_SQLITE_STATEMENTS_H_
#define VMKEEP_CONTROLLER_STORE_SQLITE_STATEMENTS_H_

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

// Values to and from columns, and prepared statements. Everything here may throw SQLite::Exception.
namespace vmkeep::controller {

void BindValue(SQLite::Statement& statement, int index, absl::string_view value);
void BindValue(SQLite::Statement& statement, int index, int64_t value);
void BindValue(SQLite::Statement& statement, int index, absl::Time value);
inline void BindValue(SQLite::Statement& statement, int index, const std::string& value) {
  statement.bind(index, value);
}
inline void BindValue(SQLite::Statement& statement, int index, const char* value) {
  statement.bind(index, value);
}
template <typename T>
  requires(std::is_enum_v<T> || std::is_same_v<T, int> || std::is_same_v<T, bool>)
void BindValue(SQLite::Statement& statement, int index, T value) {
  BindValue(statement, index, static_cast<int64_t>(value));
}
template <typename T>
void BindValue(SQLite::Statement& statement, int index, const std::optional<T>& value) {
  if (value) {
    BindValue(statement, index, *value);
  } else {
    statement.bind(index);  // NULL
  }
}

void ReadValue(const SQLite::Column& column, std::string& value);
void ReadValue(const SQLite::Column& column, int64_t& value);
void ReadValue(const SQLite::Column& column, absl::Time& value);
template <typename T>
  requires(std::is_enum_v<T> || std::is_same_v<T, int> || std::is_same_v<T, bool>)
void ReadValue(const SQLite::Column& column, T& value) {
  value = static_cast<T>(column.getInt64());
}
template <typename T>
void ReadValue(const SQLite::Column& column, std::optional<T>& value) {
  value.reset();
  if (!column.isNull()) ReadValue(column, value.emplace());
}

// A prepared statement in use: reset when the scope ends, so that it holds no read lock.
class BoundStatement {
 public:
  explicit BoundStatement(SQLite::Statement& statement) : statement_(&statement) {}
  BoundStatement(BoundStatement&& other) noexcept
      : statement_(std::exchange(other.statement_, nullptr)) {}
  BoundStatement& operator=(BoundStatement&&) = delete;
  ~BoundStatement();

  SQLite::Statement& operator*() const { return *statement_; }
  SQLite::Statement* operator->() const { return statement_; }

 private:
  SQLite::Statement* statement_;
};

// The fixed statements of one connection, prepared once. For one thread, and one use of each
// statement at a time.
class Statements {
 public:
  explicit Statements(SQLite::Database& db) : db_(db) {}

  SQLite::Database& db() { return db_; }

  // `sql` is one of a fixed set of texts; `values` are bound from 1.
  template <typename... Values>
  BoundStatement Bind(const std::string& sql, const Values&... values) {
    BoundStatement bound(Prepared(sql));
    int index = 0;
    (BindValue(*bound, ++index, values), ...);
    return bound;
  }
  template <typename... Values>
  int Run(const std::string& sql, const Values&... values) {
    return Bind(sql, values...)->exec();
  }

 private:
  SQLite::Statement& Prepared(const std::string& sql);

  SQLite::Database& db_;
  std::map<std::string, std::unique_ptr<SQLite::Statement>> prepared_;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_STORE_SQLITE_STATEMENTS_H_
