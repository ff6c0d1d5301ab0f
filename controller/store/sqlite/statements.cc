#include "controller/store/sqlite/statements.h"

namespace vmkeep::controller {

void BindValue(SQLite::Statement& statement, int index, absl::string_view value) {
  statement.bind(index, std::string(value));
}
void BindValue(SQLite::Statement& statement, int index, int64_t value) {
  statement.bind(index, value);
}
void BindValue(SQLite::Statement& statement, int index, absl::Time value) {
  statement.bind(index, static_cast<int64_t>(absl::ToUnixNanos(value)));
}

void ReadValue(const SQLite::Column& column, std::string& value) { value = column.getString(); }
void ReadValue(const SQLite::Column& column, int64_t& value) { value = column.getInt64(); }
void ReadValue(const SQLite::Column& column, absl::Time& value) {
  value = absl::FromUnixNanos(column.getInt64());
}

BoundStatement::~BoundStatement() {
  if (statement_ != nullptr) statement_->tryReset();
}

SQLite::Statement& Statements::Prepared(const std::string& sql) {
  std::unique_ptr<SQLite::Statement>& statement = prepared_[sql];
  if (statement == nullptr) {
    statement = std::make_unique<SQLite::Statement>(db_, sql);
  } else {
    statement->clearBindings();
  }
  return *statement;
}

}  // namespace vmkeep::controller
