#include "controller/store/sqlite/schema.h"

namespace vmkeep::controller {
namespace {

// Times are nanoseconds since 1970, UTC; states, phases and so on are the numbers of the domain's
// enums. The view backup_text is for people with the sqlite3 shell.
constexpr char kVersion1[] = R"sql(
CREATE TABLE store (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  controller_id TEXT NOT NULL,
  revision INTEGER NOT NULL
) STRICT;

CREATE TABLE backup (
  id TEXT PRIMARY KEY,
  project TEXT NOT NULL,
  vm_id TEXT NOT NULL,
  vm_uuid TEXT NOT NULL,
  vm_name TEXT NOT NULL,
  name TEXT NOT NULL,
  state INTEGER NOT NULL,
  failure_reason TEXT,
  failure_message TEXT,
  failure_phase TEXT,
  failure_retryable INTEGER,
  failure_time INTEGER,
  quiesce INTEGER NOT NULL,
  requested_repository INTEGER NOT NULL,
  repository INTEGER NOT NULL,
  repository_id TEXT NOT NULL,
  placement_reason TEXT NOT NULL,
  reserved_bytes INTEGER NOT NULL,
  host_id TEXT NOT NULL,
  hypervisor TEXT NOT NULL,
  simulated INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  task_id TEXT NOT NULL,
  task_open INTEGER NOT NULL,
  task_is_scrub INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  files_may_exist INTEGER NOT NULL,
  vm_on_overlay INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  update_time INTEGER NOT NULL,
  time_valid INTEGER,
  consistency INTEGER NOT NULL,
  virtual_bytes INTEGER NOT NULL,
  data_bytes INTEGER NOT NULL,
  stored_bytes INTEGER NOT NULL,
  manifest_sha256 TEXT NOT NULL,
  scrub_level TEXT NOT NULL,
  created_by TEXT NOT NULL,
  request_id TEXT NOT NULL,
  request_digest TEXT NOT NULL,
  revision INTEGER NOT NULL
) STRICT;

-- kind: label | failure (its metadata) | excluded (key: disk target, value: reason)
CREATE TABLE backup_detail (
  backup_id TEXT NOT NULL REFERENCES backup (id) ON DELETE CASCADE,
  kind TEXT NOT NULL,
  ord INTEGER NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (backup_id, kind, ord)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX backup_name ON backup (project, vm_uuid, name) WHERE state <> 99;
CREATE UNIQUE INDEX backup_request ON backup (project, created_by, request_id) WHERE request_id <> '';
CREATE UNIQUE INDEX backup_unfinished ON backup (vm_uuid) WHERE state IN (1, 2);
CREATE INDEX backup_cancelling ON backup (vm_uuid) WHERE state = 8;
CREATE INDEX backup_open ON backup (create_time, id) WHERE state IN (1, 2, 8, 17);
CREATE INDEX backup_created ON backup (project, create_time, id);
CREATE INDEX backup_vm_uuid ON backup (vm_uuid);
CREATE INDEX backup_vm_id ON backup (vm_id);
CREATE INDEX backup_vm_name ON backup (vm_name);
CREATE INDEX backup_revision ON backup (project, revision);
CREATE INDEX backup_kept ON backup (project, revision) WHERE state <> 99;

CREATE TABLE host (
  id TEXT PRIMARY KEY,
  address TEXT NOT NULL,
  executor_id TEXT NOT NULL,
  hostname TEXT NOT NULL,
  hypervisor TEXT NOT NULL,
  version TEXT NOT NULL,
  simulated INTEGER NOT NULL,
  acknowledged_sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE vm (
  host_id TEXT NOT NULL,
  uuid TEXT NOT NULL,
  name TEXT NOT NULL,
  power INTEGER NOT NULL,
  overlay_since INTEGER,
  overlay_bytes INTEGER,
  overlay_backup_id TEXT,
  overlay_needs_attention INTEGER,
  overlay_remedy TEXT,
  PRIMARY KEY (host_id, uuid)
) STRICT, WITHOUT ROWID;

CREATE TABLE vm_overlay_file (
  host_id TEXT NOT NULL,
  uuid TEXT NOT NULL,
  ord INTEGER NOT NULL,
  path TEXT NOT NULL,
  PRIMARY KEY (host_id, uuid, ord),
  FOREIGN KEY (host_id, uuid) REFERENCES vm (host_id, uuid) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE repository (
  host_id TEXT NOT NULL,
  slot INTEGER NOT NULL,
  id TEXT NOT NULL,
  path TEXT NOT NULL,
  total_bytes INTEGER NOT NULL,
  free_bytes INTEGER NOT NULL,
  health INTEGER NOT NULL,
  message TEXT NOT NULL,
  probe_time INTEGER NOT NULL,
  PRIMARY KEY (host_id, slot)
) STRICT, WITHOUT ROWID;

CREATE VIEW backup_text AS
SELECT id, project, vm_name, name,
       CASE state WHEN 1 THEN 'REQUESTED' WHEN 2 THEN 'BUILDING' WHEN 3 THEN 'UNRESOURCED' WHEN 4 THEN 'RUNNING'
                  WHEN 8 THEN 'SCRUB' WHEN 17 THEN 'SCRUBBING' WHEN 99 THEN 'CLOSED' ELSE state END AS state,
       host_id, repository, epoch, task_open, failure_reason, failure_message,
       datetime(create_time / 1000000000, 'unixepoch') AS created,
       datetime(update_time / 1000000000, 'unixepoch') AS updated,
       datetime(time_valid / 1000000000, 'unixepoch') AS valid, revision
FROM backup;
)sql";

// Hosts can be drained; VMs can be registered.
constexpr char kVersion2[] = R"sql(
ALTER TABLE host ADD COLUMN draining INTEGER NOT NULL DEFAULT 0;

CREATE TABLE vm_registration (
  project TEXT NOT NULL,
  id TEXT NOT NULL,
  uuid TEXT NOT NULL,
  PRIMARY KEY (project, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX vm_registration_uuid ON vm_registration (project, uuid);
)sql";

// When a host's executor last spoke outlives the controller.
constexpr char kVersion3[] = R"sql(
ALTER TABLE host ADD COLUMN last_seen INTEGER;
)sql";

// What keeps a VM on its overlay, or its files with it.
constexpr char kVersion4[] = R"sql(
ALTER TABLE vm ADD COLUMN overlay_reason TEXT;
ALTER TABLE vm ADD COLUMN overlay_message TEXT;
ALTER TABLE vm ADD COLUMN overlay_files_only INTEGER;
)sql";

// What is behind a repository's path.
constexpr char kVersion5[] = R"sql(
ALTER TABLE repository ADD COLUMN target TEXT NOT NULL DEFAULT '';
)sql";

}  // namespace

const sqlite::Migrations& StoreMigrations() {
  static const sqlite::Migrations kMigrations = {kVersion1, kVersion2, kVersion3, kVersion4,
                                                 kVersion5};
  return kMigrations;
}

}  // namespace vmkeep::controller
