#include "controller/store/sqlite/query.h"

#include "controller/store/sqlite/backup_rows.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace vmkeep::controller {
namespace {

std::optional<BackupRecord> First(Statements& statements, BoundStatement query) {
  std::vector<BackupRecord> records = ReadBackups(statements, *query);
  if (records.empty()) return std::nullopt;
  return std::move(records.front());
}

// A WHERE made of fixed fragments; every value is bound.
class Where {
 public:
  template <typename... Values>
  void And(absl::string_view fragment, const Values&... values) {
    fragments_.emplace_back(fragment);
    (Add(values), ...);
  }
  template <typename T>
  void AndIn(absl::string_view column, const std::vector<T>& values) {
    if (values.empty()) return;
    And(In(column, values.size()));
    for (const T& value : values) Add(value);
  }
  void AndVm(const std::vector<std::string>& spellings) {
    if (spellings.empty()) return;
    And(absl::StrCat("(", In("b.vm_id", spellings.size()), " OR ",
                     In("b.vm_name", spellings.size()), " OR ", In("b.vm_uuid", spellings.size()),
                     ")"));
    for (const std::string& spelling : spellings) Add(spelling);
    for (const std::string& spelling : spellings) Add(spelling);
    for (const std::string& spelling : spellings) Add(absl::AsciiStrToLower(spelling));
  }

  std::string sql() const { return absl::StrCat("WHERE ", absl::StrJoin(fragments_, " AND ")); }
  void Bind(SQLite::Statement& statement) const {
    int index = 0;
    for (const auto& bind : binds_) bind(statement, ++index);
  }

 private:
  template <typename T>
  void Add(T value) {
    binds_.push_back([value = std::move(value)](SQLite::Statement& statement, int index) {
      BindValue(statement, index, value);
    });
  }
  static std::string In(absl::string_view column, size_t count) {
    return absl::StrCat(column, " IN (",
                        absl::StrJoin(std::vector<absl::string_view>(count, "?"), ","), ")");
  }

  std::vector<std::string> fragments_ = {"1"};
  std::vector<std::function<void(SQLite::Statement&, int)>> binds_;
};

// The same decision for one record in memory: store/filter.cc. A property test holds them together.
void AndFilter(Where& where, const BackupFilter& filter) {
  const bool closed = filter.show_closed || std::find(filter.states.begin(), filter.states.end(),
                                                      BackupState::kClosed) != filter.states.end();
  if (!closed) where.And("b.state<>99");
  where.AndIn("b.id", filter.ids);
  where.AndIn("b.host_id", filter.host_ids);
  where.AndIn("b.state", filter.states);
  where.AndIn("b.repository", filter.repositories);
  where.AndIn("b.repository_id", filter.repository_ids);
  where.AndVm(filter.vms);
  if (filter.created_after) where.And("b.create_time>=?", *filter.created_after);
  if (filter.created_before) where.And("b.create_time<?", *filter.created_before);
  for (const auto& [key, value] : filter.labels) {
    where.And(
        "EXISTS (SELECT 1 FROM backup_detail d WHERE d.backup_id=b.id AND d.kind='label' AND "
        "d.key=? AND d.value=?)",
        key, value);
  }
}

}  // namespace

std::optional<BackupRecord> GetBackup(Statements& statements, absl::string_view project,
                                      absl::string_view id) {
  return First(statements,
               statements.Bind(SelectBackups() + "WHERE b.id=?1 AND (b.project=?2 OR ?2=?3)", id,
                               project, kAnyProject));
}

std::optional<BackupRecord> FindBackupByRequest(Statements& statements, absl::string_view project,
                                                absl::string_view created_by,
                                                absl::string_view request_id) {
  if (request_id.empty()) return std::nullopt;
  return First(
      statements,
      statements.Bind(SelectBackups() + "WHERE b.project=? AND b.created_by=? AND b.request_id=? "
                                        "AND b.request_id<>''",
                      project, created_by, request_id));
}

std::optional<BackupRecord> FindUnfinishedBackup(Statements& statements,
                                                 absl::string_view vm_uuid) {
  std::optional<BackupRecord> working =
      First(statements,
            statements.Bind(SelectBackups() + "WHERE b.vm_uuid=? AND b.state IN (1, 2)", vm_uuid));
  if (working) return working;
  return First(statements, statements.Bind(SelectBackups() +
                                               "WHERE b.vm_uuid=? AND b.state=8 AND b.task_open=1 "
                                               "AND b.task_is_scrub=0 ORDER BY b.id LIMIT 1",
                                           vm_uuid));
}

std::optional<BackupRecord> FindBackupByName(Statements& statements, absl::string_view project,
                                             absl::string_view vm_uuid, absl::string_view name) {
  return First(statements,
               statements.Bind(SelectBackups() +
                                   "WHERE b.project=? AND b.vm_uuid=? AND b.name=? AND b.state<>99",
                               project, vm_uuid, name));
}

std::vector<BackupRecord> ListBackups(Statements& statements, const BackupQuery& query) {
  Where where;
  if (query.project != kAnyProject) where.And("b.project=?", query.project);
  AndFilter(where, query.filter);
  absl::string_view order =
      query.oldest_first ? "b.create_time, b.id" : "b.create_time DESC, b.id DESC";
  if (query.changed_after) {
    where.And("b.revision>?", *query.changed_after);
    order = "b.revision";
  } else if (query.after) {
    where.And(
        query.oldest_first ? "(b.create_time, b.id) > (?, ?)" : "(b.create_time, b.id) < (?, ?)",
        query.after->create_time, query.after->id);
  }
  // Prepared anew each time: the text depends on how many values the filter has.
  SQLite::Statement statement(
      statements.db(), absl::StrCat(SelectBackups(), where.sql(), " ORDER BY ", order, " LIMIT ",
                                    std::max(query.limit, 0)));
  where.Bind(statement);
  return ReadBackups(statements, statement);
}

std::vector<BackupRecord> ListOpenBackups(Statements& statements) {
  BoundStatement query = statements.Bind(
      SelectBackups() + "WHERE b.state IN (1, 2, 8, 17) ORDER BY b.create_time, b.id");
  return ReadBackups(statements, *query);
}

std::map<BackupState, int64_t> CountBackups(Statements& statements) {
  // By the index of what is kept: closed records only ever grow, and are what is left of all.
  BoundStatement row = statements.Bind(
      "SELECT state, count(*) FROM backup INDEXED BY backup_kept WHERE state<>99 GROUP BY state "
      "UNION ALL SELECT 99, (SELECT count(*) FROM backup) - (SELECT count(*) FROM backup INDEXED "
      "BY "
      "backup_kept WHERE state<>99)");
  std::map<BackupState, int64_t> counts;
  while (row->executeStep()) {
    BackupState state{};
    ReadValue(row->getColumn(0), state);
    ReadValue(row->getColumn(1), counts[state]);
  }
  return counts;
}

}  // namespace vmkeep::controller
