#include "controller/store/sqlite/backup_rows.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include <array>
#include <optional>
#include <utility>

namespace vmkeep::controller {
namespace {

// One column: how it is written and read. The tables' texts and the statements below come from this
// list alone.
struct Column {
  const char* name;
  bool fixed;  // of the insert; an update leaves it
  void (*bind)(SQLite::Statement&, int index, const BackupRecord&);
  void (*read)(const SQLite::Column&, BackupRecord&);
};

template <auto Member>
constexpr Column Of(const char* name, bool fixed = false) {
  return {name, fixed,
          [](SQLite::Statement& statement, int index, const BackupRecord& record) {
            BindValue(statement, index, record.*Member);
          },
          [](const SQLite::Column& column, BackupRecord& record) {
            ReadValue(column, record.*Member);
          }};
}

// Of the failure, NULL when there is none.
template <auto Member>
constexpr Column OfFailure(const char* name) {
  return {name, false,
          [](SQLite::Statement& statement, int index, const BackupRecord& record) {
            if (record.failure) {
              BindValue(statement, index, (*record.failure).*Member);
            } else {
              statement.bind(index);
            }
          },
          [](const SQLite::Column& column, BackupRecord& record) {
            if (column.isNull()) return;
            if (!record.failure) record.failure.emplace();
            ReadValue(column, (*record.failure).*Member);
          }};
}

using R = BackupRecord;
constexpr bool kFixed = true;
constexpr std::array kColumns = {
    Of<&R::id>("id", kFixed),
    Of<&R::project>("project", kFixed),
    Of<&R::vm_id>("vm_id", kFixed),
    Of<&R::vm_uuid>("vm_uuid", kFixed),
    Of<&R::vm_name>("vm_name", kFixed),
    Of<&R::name>("name"),
    Of<&R::state>("state"),
    OfFailure<&Failure::reason>("failure_reason"),
    OfFailure<&Failure::message>("failure_message"),
    OfFailure<&Failure::phase>("failure_phase"),
    OfFailure<&Failure::retryable>("failure_retryable"),
    OfFailure<&Failure::time>("failure_time"),
    Of<&R::quiesce>("quiesce"),
    Of<&R::requested_repository>("requested_repository"),
    Of<&R::repository>("repository"),
    Of<&R::repository_id>("repository_id"),
    Of<&R::placement_reason>("placement_reason"),
    Of<&R::reserved_bytes>("reserved_bytes"),
    Of<&R::host_id>("host_id"),
    Of<&R::hypervisor>("hypervisor"),
    Of<&R::simulated>("simulated"),
    Of<&R::epoch>("epoch"),
    Of<&R::task_id>("task_id"),
    Of<&R::task_open>("task_open"),
    Of<&R::task_is_scrub>("task_is_scrub"),
    Of<&R::attempts>("attempts"),
    Of<&R::files_may_exist>("files_may_exist"),
    Of<&R::vm_on_overlay>("vm_on_overlay"),
    Of<&R::create_time>("create_time", kFixed),
    Of<&R::update_time>("update_time"),
    Of<&R::time_valid>("time_valid"),
    Of<&R::consistency>("consistency"),
    Of<&R::virtual_bytes>("virtual_bytes"),
    Of<&R::data_bytes>("data_bytes"),
    Of<&R::stored_bytes>("stored_bytes"),
    Of<&R::manifest_sha256>("manifest_sha256"),
    Of<&R::scrub_level>("scrub_level"),
    Of<&R::created_by>("created_by", kFixed),
    Of<&R::request_id>("request_id", kFixed),
    Of<&R::request_digest>("request_digest", kFixed),
    Of<&R::revision>("revision"),
};

std::string UpsertSql() {
  std::vector<std::string> names;
  std::vector<std::string> marks;
  std::vector<std::string> updates;
  for (const Column& column : kColumns) {
    names.push_back(column.name);
    marks.push_back(absl::StrCat("?", names.size()));
    // Left out, so that an update does not rewrite the indexes over it.
    if (!column.fixed) updates.push_back(absl::StrCat(column.name, "=excluded.", column.name));
  }
  return absl::StrCat("INSERT INTO backup (", absl::StrJoin(names, ","), ") VALUES (",
                      absl::StrJoin(marks, ","), ") ON CONFLICT (id) DO UPDATE SET ",
                      absl::StrJoin(updates, ","));
}

constexpr char kLabel[] = "label";
constexpr char kFailure[] = "failure";
constexpr char kExcluded[] = "excluded";
// key: a repository's UUID, value: why. Not in the schema's comment, which knows of older programs:
// those read past it, and forget it when they write the record.
constexpr char kLeft[] = "left";

void AddDetail(Statements& statements, const BackupId& id, const char* kind, int ord,
               const std::string& key, const std::string& value) {
  statements.Run("INSERT INTO backup_detail (backup_id, kind, ord, key, value) VALUES (?,?,?,?,?)",
                 id, kind, ord, key, value);
}

void AddDetails(Statements& statements, const BackupId& id, const char* kind,
                const std::map<std::string, std::string>& pairs) {
  int ord = 0;
  for (const auto& [key, value] : pairs) AddDetail(statements, id, kind, ord++, key, value);
}

void ReadDetails(Statements& statements, BackupRecord& record) {
  BoundStatement rows = statements.Bind(
      "SELECT kind, key, value FROM backup_detail WHERE backup_id=? ORDER BY kind, ord", record.id);
  while (rows->executeStep()) {
    const std::string kind = rows->getColumn(0).getString();
    std::string key = rows->getColumn(1).getString();
    std::string value = rows->getColumn(2).getString();
    if (kind == kLabel) {
      record.labels[std::move(key)] = std::move(value);
    } else if (kind == kFailure && record.failure) {
      record.failure->metadata[std::move(key)] = std::move(value);
    } else if (kind == kExcluded) {
      record.excluded_disks.push_back({std::move(key), std::move(value)});
    } else if (kind == kLeft) {
      record.left_repositories.push_back({std::move(key), std::move(value)});
    }
  }
}

}  // namespace

const std::string& SelectBackups() {
  static const std::string sql = absl::StrCat(
      "SELECT ",
      absl::StrJoin(
          kColumns, ",",
          [](std::string* out, const Column& column) { absl::StrAppend(out, "b.", column.name); }),
      " FROM backup b ");
  return sql;
}

std::vector<BackupRecord> ReadBackups(Statements& statements, SQLite::Statement& query) {
  std::vector<BackupRecord> records;
  while (query.executeStep()) {
    BackupRecord& record = records.emplace_back();
    int index = 0;
    for (const Column& column : kColumns) column.read(query.getColumn(index++), record);
    ReadDetails(statements, record);
  }
  return records;
}

void WriteBackup(Statements& statements, const BackupRecord& record) {
  static const std::string sql = UpsertSql();
  BoundStatement upsert = statements.Bind(sql);
  int index = 0;
  for (const Column& column : kColumns) column.bind(*upsert, ++index, record);
  upsert->exec();

  statements.Run("DELETE FROM backup_detail WHERE backup_id=?", record.id);
  AddDetails(statements, record.id, kLabel, record.labels);
  if (record.failure) AddDetails(statements, record.id, kFailure, record.failure->metadata);
  int ord = 0;
  for (const ExcludedDisk& disk : record.excluded_disks) {
    AddDetail(statements, record.id, kExcluded, ord++, disk.target, disk.reason);
  }
  ord = 0;
  for (const LeftRepository& left : record.left_repositories) {
    AddDetail(statements, record.id, kLeft, ord++, left.id, left.why);
  }
}

}  // namespace vmkeep::controller
