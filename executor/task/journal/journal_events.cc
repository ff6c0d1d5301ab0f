#include "executor/task/journal/journal.h"
#include "executor/task/journal/journal_internal.h"

// The events that the controller has not acknowledged.
namespace vmkeep::executor {

using journal::Blob;
using journal::Query;
using journal::Run;

int64_t journal::AddEvents(SQLite::Database& db, const std::vector<v1::Event>& events) {
  int64_t sequence = 0;
  for (const v1::Event& event : events) {
    Run(db, "INSERT INTO event(body) VALUES(?)", Blob{event.SerializeAsString()});
    sequence = db.getLastInsertRowid();
  }
  return sequence;
}

void journal::DropForgotten(SQLite::Database& db) {
  Run(db, "DELETE FROM task WHERE acknowledged=1 AND on_overlay=0 AND files_remain=0");
}

absl::StatusOr<std::vector<v1::Event>> Journal::EventsAfter(int64_t sequence, int limit) {
  return Read("read events", [&](SQLite::Database& db) -> absl::StatusOr<std::vector<v1::Event>> {
    std::vector<v1::Event> events;
    SQLite::Statement row =
        Query(db, "SELECT sequence, body FROM event WHERE sequence>? ORDER BY sequence LIMIT ?",
              sequence, int64_t{limit});
    while (row.executeStep()) {
      v1::Event event;
      if (!event.ParseFromString(row.getColumn(1).getString())) event.Clear();
      event.set_sequence(row.getColumn(0).getInt64());
      events.push_back(std::move(event));
    }
    return events;
  });
}

absl::StatusOr<int64_t> Journal::LastSequence() {
  return Read("read the last sequence", [](SQLite::Database& db) -> absl::StatusOr<int64_t> {
    // Of AUTOINCREMENT: it stays when the events are acknowledged and gone.
    SQLite::Statement row(db, "SELECT seq FROM sqlite_sequence WHERE name='event'");
    return row.executeStep() ? row.getColumn(0).getInt64() : int64_t{0};
  });
}

absl::Status Journal::Acknowledge(int64_t sequence) {
  return Write("acknowledge events", [&](SQLite::Database& db) {
    Run(db, "DELETE FROM event WHERE sequence<=?", sequence);
    Run(db, "UPDATE task SET acknowledged=1 WHERE ended_at IS NOT NULL AND end_sequence<=?",
        sequence);
    journal::DropForgotten(db);
    return absl::OkStatus();
  });
}

}  // namespace vmkeep::executor
