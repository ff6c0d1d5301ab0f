#ifndef VMKEEP_EXECUTOR_TASK_JOURNAL_JOURNAL_INTERNAL_H_
#define VMKEEP_EXECUTOR_TASK_JOURNAL_JOURNAL_INTERNAL_H_

#include "common/sqlite/database.h"
#include "executor/task/journal/records.h"

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

// Small words that the journal's sources share.
namespace vmkeep::executor::journal {

struct Blob {
  std::string bytes;
};

inline void Bind(SQLite::Statement& query, int index, int64_t value) { query.bind(index, value); }
inline void Bind(SQLite::Statement& query, int index, const std::string& text) {
  query.bind(index, text);
}
inline void Bind(SQLite::Statement& query, int index, absl::string_view text) {
  query.bind(index, std::string(text));
}
inline void Bind(SQLite::Statement& query, int index, const Blob& blob) {
  query.bind(index, blob.bytes.data(), static_cast<int>(blob.bytes.size()));
}
// Two places: the id and the epoch.
inline void Bind(SQLite::Statement& query, int index, const TaskId& task) {
  query.bind(index, task.id);
  query.bind(index + 1, task.epoch);
}
template <typename T>
constexpr int Places(const T&) {
  return std::is_same_v<T, TaskId> ? 2 : 1;
}

template <typename... Args>
SQLite::Statement Query(SQLite::Database& db, const char* sql, const Args&... args) {
  SQLite::Statement query(db, sql);
  [[maybe_unused]] int index = 1;
  ((Bind(query, index, args), index += Places(args)), ...);
  return query;
}

// The number of rows that changed.
template <typename... Args>
int Run(SQLite::Database& db, const char* sql, const Args&... args) {
  return Query(db, sql, args...).exec();
}

inline int64_t ToNanos(absl::Time time) { return absl::ToUnixNanos(time); }

// The tasks of a WHERE clause with at most one argument, oldest first.
std::vector<KnownTask> ReadTasks(SQLite::Database& db, absl::string_view where,
                                 const std::string& argument = "");
BackupData ReadData(SQLite::Database& db, const TaskRecord& record);

// Adds events; the last one's sequence, 0 when there is none.
int64_t AddEvents(SQLite::Database& db, const std::vector<v1::Event>& events);
// Drops the rows of tasks that nobody needs any more.
void DropForgotten(SQLite::Database& db);

}  // namespace vmkeep::executor::journal

#endif  // VMKEEP_EXECUTOR_TASK_JOURNAL_JOURNAL_INTERNAL_H_
