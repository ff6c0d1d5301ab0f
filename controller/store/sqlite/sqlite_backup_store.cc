#include "controller/store/sqlite/sqlite_backup_store.h"

#include "common/error.h"
#include "common/fault_point/fault_point.h"
#include "common/log.h"
#include "common/queue.h"
#include "common/sqlite/database.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controller/domain/errors.h"
#include "controller/domain/states.h"
#include "controller/store/sqlite/file_lock.h"
#include "controller/store/sqlite/schema.h"
#include "controller/store/sqlite/transaction.h"

#include "absl/strings/str_cat.h"
#include <sqlite3.h>

#include <array>
#include <atomic>
#include <deque>
#include <exception>
#include <thread>
#include <utility>

namespace vmkeep::controller {
namespace {

constexpr int kReaders = 2;

using Result = absl::StatusOr<std::vector<BackupRecord>>;

absl::Status Exec(SQLite::Database& db, const std::string& sql) {
  return sqlite::Guard(sql, [&]() -> absl::Status {
    db.exec(sql);
    return absl::OkStatus();
  });
}

// Nothing was committed: the caller may try again.
absl::Status Unavailable(const absl::Status& cause) {
  return MakeError(
      absl::StatusCode::kUnavailable, "DATABASE_ERROR",
      absl::StrCat("the controller's store could not be written and nothing was changed (",
                   cause.message(),
                   "): check the space and the health of its disk, then try again"));
}

// SQLite rolls the whole transaction back by itself when the disk is full or fails.
bool InTransaction(SQLite::Database& db) { return sqlite3_get_autocommit(db.getHandle()) == 0; }

// The fault points of a commit, one for each record that it puts, by the state that the record
// gets.
template <typename Batch, typename Pass>
absl::Status PassPoints(const Batch& batch, Pass pass) {
  if (!kFaultPoints) return absl::OkStatus();
  for (const auto& pending : batch) {
    for (const BackupRecord& record : pending.put) {
      VMKEEP_RETURN_IF_ERROR(pass(std::string(StateName(record.state))));
    }
  }
  return absl::OkStatus();
}

// A connection and its statements, for one thread.
struct Connection {
  explicit Connection(std::unique_ptr<SQLite::Database> database)
      : db(std::move(database)), statements(*db) {}
  std::unique_ptr<SQLite::Database> db;
  Statements statements;
};

}  // namespace

class SqliteBackupStore::Impl {
 public:
  Impl(std::unique_ptr<FileLock> lock, std::unique_ptr<SQLite::Database> writer, Clock& clock)
      : lock_(std::move(lock)), clock_(clock), writer_(std::move(writer)) {}

  ~Impl() {
    mutations_.Close();
    if (writer_thread_.joinable()) writer_thread_.join();
    queries_.Close();
    for (std::thread& thread : reader_threads_) {
      if (thread.joinable()) thread.join();
    }
  }

  absl::Status Start(const std::string& path) {
    VMKEEP_RETURN_IF_ERROR(sqlite::Guard("identify the store", [&] { return LoadIdentity(); }));
    for (std::unique_ptr<Connection>& reader : readers_) {
      VMKEEP_ASSIGN_OR_RETURN(auto db, sqlite::OpenReader(path));
      reader = std::make_unique<Connection>(std::move(db));
    }
    writer_thread_ = std::thread([this] { WriteLoop(); });
    for (int i = 0; i < kReaders; ++i) {
      reader_threads_[i] = std::thread([this, i] { ReadLoop(*readers_[i]); });
    }
    return absl::OkStatus();
  }

  void Commit(Mutation mutation, Done done) {
    auto shared = std::make_shared<Done>(std::move(done));
    if (!mutations_.Push(Pending(std::move(mutation), shared))) (*shared)(error::StoreClosed());
  }

  void Read(Query query) {
    auto shared = std::make_shared<Query>(std::move(query));
    if (!queries_.Push(shared)) (*shared)(error::StoreClosed());
  }

  const std::string& controller_id() const { return controller_id_; }
  void SetObserver(Observer observer) { observer_ = std::move(observer); }
  void SetCommitMeter(CommitMeter meter) { commit_meter_ = std::move(meter); }
  Stats stats() const { return {mutation_count_.load(), commit_count_.load()}; }

 private:
  struct Pending {
    Pending(Mutation to_run, std::shared_ptr<Done> to_call)
        : mutation(std::move(to_run)), done(std::move(to_call)) {}
    Mutation mutation;
    std::shared_ptr<Done> done;
    Result result;
    std::vector<BackupRecord> put;
  };

  absl::Status LoadIdentity();
  void WriteLoop();
  absl::Status CommitBatch(std::deque<Pending>& batch);
  absl::Status RunOne(SqliteTransaction& transaction, Pending& pending);
  void Answer(std::deque<Pending>& batch);
  void ReadLoop(Connection& connection);
  static void RunQuery(Connection& connection, const Query& query);

  const std::unique_ptr<FileLock> lock_;
  Clock& clock_;
  std::string controller_id_;
  Observer observer_;
  CommitMeter commit_meter_;
  Queue<Pending> mutations_;
  Queue<std::shared_ptr<Query>> queries_;
  std::atomic<int64_t> mutation_count_{0};
  std::atomic<int64_t> commit_count_{0};

  Connection writer_;     // the writer thread's, with revision_
  int64_t revision_ = 0;  // of the last commit
  std::array<std::unique_ptr<Connection>, kReaders> readers_;
  std::thread writer_thread_;
  std::array<std::thread, kReaders> reader_threads_;
};

absl::Status SqliteBackupStore::Impl::LoadIdentity() {
  writer_.statements.Run(
      "INSERT INTO store (one, controller_id, revision) VALUES (1, ?, 0) ON CONFLICT DO NOTHING",
      NewUuid4());
  BoundStatement row = writer_.statements.Bind("SELECT controller_id, revision FROM store");
  row->executeStep();
  ReadValue(row->getColumn(0), controller_id_);
  ReadValue(row->getColumn(1), revision_);
  return absl::OkStatus();
}

void SqliteBackupStore::Impl::WriteLoop() {
  while (true) {
    std::deque<Pending> batch = mutations_.PopAll();
    if (batch.empty()) return;
    const absl::Duration began = clock_.Monotonic();
    absl::Status status = CommitBatch(batch);
    if (commit_meter_) commit_meter_(status.ok(), batch.size(), clock_.Monotonic() - began);
    if (!status.ok()) {
      log::Error("store_commit_failed", {{"mutations", batch.size()}, {"error", status.message()}});
      if (InTransaction(*writer_.db)) Exec(*writer_.db, "ROLLBACK").IgnoreError();
      for (Pending& pending : batch) {
        pending.put.clear();
        pending.result = Unavailable(status);
      }
    }
    mutation_count_ += static_cast<int64_t>(batch.size());
    Answer(batch);
  }
}

// All of the batch in one transaction, each mutation undone by itself when it fails. An error:
// nothing was committed.
absl::Status SqliteBackupStore::Impl::CommitBatch(std::deque<Pending>& batch) {
  VMKEEP_RETURN_IF_ERROR(Exec(*writer_.db, "BEGIN IMMEDIATE"));
  SqliteTransaction transaction(writer_.statements, revision_, clock_);
  for (Pending& pending : batch) VMKEEP_RETURN_IF_ERROR(RunOne(transaction, pending));
  const int64_t revision = transaction.revision();
  if (revision != revision_) {
    VMKEEP_RETURN_IF_ERROR(sqlite::Guard("store revision", [&]() -> absl::Status {
      writer_.statements.Run("UPDATE store SET revision=?", revision);
      return absl::OkStatus();
    }));
  }
  VMKEEP_RETURN_IF_ERROR(PassPoints(
      batch, [](const std::string& kind) { return FaultPoint("store.commit.before", kind); }));
  VMKEEP_RETURN_IF_ERROR(Exec(*writer_.db, "COMMIT"));
  revision_ = revision;
  ++commit_count_;
  // SQLite reports no error of a commit that counts, so this one cannot fail.
  PassPoints(batch, [](const std::string& kind) {
    CrashPoint("store.commit.after", kind);
    return absl::OkStatus();
  }).IgnoreError();
  return absl::OkStatus();
}

// An error is one of the whole transaction; a mutation's own is in its result.
absl::Status SqliteBackupStore::Impl::RunOne(SqliteTransaction& transaction, Pending& pending) {
  VMKEEP_RETURN_IF_ERROR(transaction.Begin());
  try {
    pending.result = pending.mutation(transaction);
  } catch (const std::exception& thrown) {
    pending.result =
        absl::InternalError(absl::StrCat("a mutation of the store failed: ", thrown.what()));
  }
  if (!InTransaction(*writer_.db)) {
    return pending.result.ok() ? absl::InternalError("the transaction was lost")
                               : pending.result.status();
  }
  if (!pending.result.ok()) return transaction.Undo();
  pending.put = transaction.TakePut();
  return transaction.Keep();
}

void SqliteBackupStore::Impl::Answer(std::deque<Pending>& batch) {
  while (!batch.empty()) {
    const Pending& pending = batch.front();
    if (!pending.put.empty() && observer_) observer_(pending.put);
    (*pending.done)(pending.result);
    batch.pop_front();  // what its callbacks hold goes before the next is called
  }
}

void SqliteBackupStore::Impl::ReadLoop(Connection& connection) {
  while (std::optional<std::shared_ptr<Query>> query = queries_.Pop())
    RunQuery(connection, **query);
}

void SqliteBackupStore::Impl::RunQuery(Connection& connection, const Query& query) {
  int64_t revision = 0;
  absl::Status begun = sqlite::Guard("read the store", [&]() -> absl::Status {
    connection.db->exec("BEGIN");
    // The first read takes the snapshot that the rest of the query sees.
    BoundStatement row = connection.statements.Bind("SELECT revision FROM store");
    row->executeStep();
    ReadValue(row->getColumn(0), revision);
    return absl::OkStatus();
  });
  if (begun.ok()) {
    SqliteView<StoreView> view(connection.statements, revision);
    query(&view);
  } else {
    query(Unavailable(begun));
  }
  if (InTransaction(*connection.db))
    Exec(*connection.db, "ROLLBACK").IgnoreError();  // nothing was written
}

absl::StatusOr<std::unique_ptr<SqliteBackupStore>> SqliteBackupStore::Open(const std::string& path,
                                                                           Clock& clock) {
  VMKEEP_ASSIGN_OR_RETURN(auto lock, FileLock::Acquire(path));
  VMKEEP_ASSIGN_OR_RETURN(auto writer, sqlite::Open(path, StoreMigrations()));
  auto impl = std::make_unique<Impl>(std::move(lock), std::move(writer), clock);
  VMKEEP_RETURN_IF_ERROR(impl->Start(path));
  return std::unique_ptr<SqliteBackupStore>(new SqliteBackupStore(std::move(impl)));
}

SqliteBackupStore::SqliteBackupStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SqliteBackupStore::~SqliteBackupStore() = default;

void SqliteBackupStore::Commit(Mutation mutation, Done done) {
  impl_->Commit(std::move(mutation), std::move(done));
}
void SqliteBackupStore::Read(Query query) { impl_->Read(std::move(query)); }
std::string SqliteBackupStore::controller_id() const { return impl_->controller_id(); }
void SqliteBackupStore::SetObserver(Observer observer) { impl_->SetObserver(std::move(observer)); }
void SqliteBackupStore::SetCommitMeter(CommitMeter meter) {
  impl_->SetCommitMeter(std::move(meter));
}
SqliteBackupStore::Stats SqliteBackupStore::stats() const { return impl_->stats(); }

}  // namespace vmkeep::controller
