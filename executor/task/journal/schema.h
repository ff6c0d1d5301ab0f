#ifndef VMKEEP_EXECUTOR_TASK_JOURNAL_SCHEMA_H_
#define VMKEEP_EXECUTOR_TASK_JOURNAL_SCHEMA_H_

#include "common/sqlite/database.h"

namespace vmkeep::executor {

// Times are nanoseconds since 1970. A task's row goes when its end is acknowledged and nothing of
// it is left behind (on_overlay, files_remain); backup_epoch stays, so that an old epoch is refused
// for ever.
inline const sqlite::Migrations& JournalMigrations() {
  static const sqlite::Migrations kMigrations = {R"sql(
    CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE backup_epoch(
      backup_id TEXT PRIMARY KEY,
      epoch INTEGER NOT NULL,
      task_id TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE refused(task_id TEXT PRIMARY KEY, epoch INTEGER NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE task(
      task_id TEXT NOT NULL,
      epoch INTEGER NOT NULL,
      backup_id TEXT NOT NULL,
      vm_uuid TEXT NOT NULL,
      kind TEXT NOT NULL,
      spec BLOB NOT NULL,
      accepted_at INTEGER NOT NULL,
      cancelled INTEGER NOT NULL DEFAULT 0,
      failure BLOB,
      failed_in TEXT,
      ended_at INTEGER,
      end_sequence INTEGER,
      acknowledged INTEGER NOT NULL DEFAULT 0,
      on_overlay INTEGER NOT NULL DEFAULT 0,
      files_remain INTEGER NOT NULL DEFAULT 0,
      PRIMARY KEY(task_id, epoch),
      UNIQUE(backup_id, epoch)
    ) WITHOUT ROWID;
    CREATE TABLE step(
      task_id TEXT NOT NULL, epoch INTEGER NOT NULL, ord INTEGER NOT NULL,
      name TEXT NOT NULL, target TEXT NOT NULL, status TEXT NOT NULL, at INTEGER NOT NULL,
      PRIMARY KEY(task_id, epoch, ord),
      FOREIGN KEY(task_id, epoch) REFERENCES task ON DELETE CASCADE
    ) WITHOUT ROWID;
    CREATE TABLE vm(
      task_id TEXT NOT NULL, epoch INTEGER NOT NULL,
      name TEXT NOT NULL, power INTEGER NOT NULL, nvram TEXT NOT NULL,
      excluded TEXT NOT NULL, not_included TEXT NOT NULL,
      live_xml BLOB NOT NULL, inactive_xml BLOB NOT NULL, restore_xml BLOB NOT NULL,
      snapshot_at INTEGER, consistency INTEGER, quiesce_detail TEXT,
      PRIMARY KEY(task_id, epoch),
      FOREIGN KEY(task_id, epoch) REFERENCES task ON DELETE CASCADE
    ) WITHOUT ROWID;
    CREATE TABLE disk(
      task_id TEXT NOT NULL, epoch INTEGER NOT NULL, ord INTEGER NOT NULL,
      target TEXT NOT NULL, source TEXT NOT NULL, format TEXT NOT NULL, overlay TEXT NOT NULL,
      virtual_bytes INTEGER NOT NULL, data_bytes INTEGER NOT NULL,
      dev INTEGER NOT NULL, ino INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL, mode INTEGER NOT NULL,
      copy BLOB,
      PRIMARY KEY(task_id, epoch, ord),
      FOREIGN KEY(task_id, epoch) REFERENCES task ON DELETE CASCADE
    ) WITHOUT ROWID;
    CREATE TABLE event(sequence INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
    CREATE TABLE worker(
      pid INTEGER NOT NULL, start_time INTEGER NOT NULL, repository_id TEXT NOT NULL,
      PRIMARY KEY(pid, start_time)
    ) WITHOUT ROWID;
  )sql",
                                                 R"sql(
    ALTER TABLE disk ADD COLUMN data_file TEXT NOT NULL DEFAULT '';
    ALTER TABLE disk ADD COLUMN block_device INTEGER NOT NULL DEFAULT 0;
    -- The images below a disk's own, nearest first.
    CREATE TABLE disk_layer(
      task_id TEXT NOT NULL, epoch INTEGER NOT NULL, ord INTEGER NOT NULL, depth INTEGER NOT NULL,
      file TEXT NOT NULL, format TEXT NOT NULL, data_file TEXT NOT NULL,
      PRIMARY KEY(task_id, epoch, ord, depth),
      FOREIGN KEY(task_id, epoch, ord) REFERENCES disk ON DELETE CASCADE
    ) WITHOUT ROWID;
  )sql",
                                                 R"sql(
    -- CopyBegin of a copy that was begun. copy_until: of the boot's monotonic clock.
    ALTER TABLE disk ADD COLUMN copy_base TEXT;
    ALTER TABLE disk ADD COLUMN copy_boot TEXT;
    ALTER TABLE disk ADD COLUMN copy_until INTEGER;
  )sql",
                                                 R"sql(
    -- Of a backup whose files the hypervisor writes: where, and a SealExportResult once they are sealed.
    CREATE TABLE export(
      task_id TEXT NOT NULL, epoch INTEGER NOT NULL, folder TEXT NOT NULL, sealed BLOB,
      PRIMARY KEY(task_id, epoch),
      FOREIGN KEY(task_id, epoch) REFERENCES task ON DELETE CASCADE
    ) WITHOUT ROWID;
  )sql"};
  return kMigrations;
}

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_JOURNAL_SCHEMA_H_
