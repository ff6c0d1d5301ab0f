#include "executor/task/journal/journal.h"
#include "executor/task/journal/journal_internal.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include <utility>

// What a backup's steps learn, and what a task may leave behind.
namespace vmkeep::executor {

using journal::Blob;
using journal::Query;
using journal::Run;

namespace {

// "target=reason" a line.
std::string JoinExcluded(const std::vector<ExcludedDisk>& disks) {
  return absl::StrJoin(disks, "\n", [](std::string* out, const ExcludedDisk& disk) {
    absl::StrAppend(out, disk.target, "=", disk.reason);
  });
}

std::vector<ExcludedDisk> SplitExcluded(const std::string& text) {
  std::vector<ExcludedDisk> disks;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(line, absl::MaxSplits('=', 1));
    disks.push_back({parts.first, parts.second});
  }
  return disks;
}

void ReadVm(SQLite::Database& db, const TaskRecord& record, BackupData& data) {
  SQLite::Statement row = Query(
      db,
      "SELECT name, power, nvram, excluded, not_included, live_xml, inactive_xml,"
      " snapshot_at, consistency, quiesce_detail, restore_xml FROM vm WHERE task_id=? AND epoch=?",
      record.task);
  if (!row.executeStep()) return;
  data.vm.uuid = record.vm_uuid;
  data.vm.name = row.getColumn(0).getString();
  data.vm.power = static_cast<PowerState>(row.getColumn(1).getInt());
  data.vm.nvram = row.getColumn(2).getString();
  data.vm.excluded = SplitExcluded(row.getColumn(3).getString());
  data.vm.not_included = absl::StrSplit(row.getColumn(4).getString(), '\n', absl::SkipEmpty());
  data.vm.live_xml = row.getColumn(5).getString();
  data.vm.inactive_xml = row.getColumn(6).getString();
  data.restore_xml = row.getColumn(10).getString();
  if (row.getColumn(7).isNull()) return;
  data.snapshot = SnapshotResult{absl::FromUnixNanos(row.getColumn(7).getInt64()),
                                 static_cast<Consistency>(row.getColumn(8).getInt()),
                                 row.getColumn(9).getString()};
}

std::vector<ImageLayer> ReadLayers(SQLite::Database& db, const TaskId& task, int64_t disk) {
  SQLite::Statement row = Query(db,
                                "SELECT file, format, data_file FROM disk_layer"
                                " WHERE task_id=? AND epoch=? AND ord=? ORDER BY depth",
                                task, disk);
  std::vector<ImageLayer> layers;
  while (row.executeStep()) {
    layers.push_back(
        {row.getColumn(0).getString(), row.getColumn(1).getString(), row.getColumn(2).getString()});
  }
  return layers;
}

void PutDisk(SQLite::Database& db, const TaskId& task, int64_t index, const Disk& disk,
             const std::string& overlay) {
  Run(db,
      "INSERT OR REPLACE INTO disk(task_id, epoch, ord, target, source, format, overlay, "
      "virtual_bytes, data_bytes,"
      " dev, ino, uid, gid, mode, data_file, block_device)"
      " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      task, index, disk.target, disk.source, disk.format, overlay, disk.virtual_bytes,
      disk.data_bytes, static_cast<int64_t>(disk.dev), static_cast<int64_t>(disk.ino),
      int64_t{disk.uid}, int64_t{disk.gid}, int64_t{disk.mode}, disk.data_file,
      int64_t{disk.block_device});
  for (size_t depth = 0; depth < disk.backing.size(); ++depth) {
    const ImageLayer& layer = disk.backing[depth];
    Run(db,
        "INSERT OR REPLACE INTO disk_layer(task_id, epoch, ord, depth, file, format, data_file)"
        " VALUES(?, ?, ?, ?, ?, ?, ?)",
        task, index, static_cast<int64_t>(depth), layer.file, layer.format, layer.data_file);
  }
}

void ReadDisks(SQLite::Database& db, const TaskRecord& record, BackupData& data) {
  SQLite::Statement row =
      Query(db,
            "SELECT target, source, format, overlay, virtual_bytes, data_bytes, dev, ino, uid, gid,"
            " mode, copy, data_file, block_device, ord, copy_base, copy_boot, copy_until"
            " FROM disk WHERE task_id=? AND epoch=? ORDER BY ord",
            record.task);
  while (row.executeStep()) {
    Disk disk;
    disk.target = row.getColumn(0).getString();
    disk.source = row.getColumn(1).getString();
    disk.format = row.getColumn(2).getString();
    disk.virtual_bytes = row.getColumn(4).getInt64();
    disk.data_bytes = row.getColumn(5).getInt64();
    disk.dev = static_cast<uint64_t>(row.getColumn(6).getInt64());
    disk.ino = static_cast<uint64_t>(row.getColumn(7).getInt64());
    disk.uid = row.getColumn(8).getUInt();
    disk.gid = row.getColumn(9).getUInt();
    disk.mode = row.getColumn(10).getUInt();
    disk.data_file = row.getColumn(12).getString();
    disk.block_device = row.getColumn(13).getInt() != 0;
    disk.backing = ReadLayers(db, record.task, row.getColumn(14).getInt64());
    // An export has none.
    if (std::string overlay = row.getColumn(3).getString(); !overlay.empty()) {
      data.overlays.push_back(
          {record.vm_uuid, disk.target, disk.source, disk.format, std::move(overlay)});
    }
    worker::v1::CopyResult copy;
    if (!row.getColumn(11).isNull() && copy.ParseFromString(row.getColumn(11).getString())) {
      data.copies[disk.target] = std::move(copy);
    }
    if (!row.getColumn(15).isNull()) {
      data.copies_begun[disk.target] = {row.getColumn(15).getString(),
                                        row.getColumn(16).getString(),
                                        absl::Nanoseconds(row.getColumn(17).getInt64())};
    }
    data.vm.disks.push_back(std::move(disk));
  }
}

void ReadExport(SQLite::Database& db, const TaskRecord& record, BackupData& data) {
  SQLite::Statement row =
      Query(db, "SELECT folder, sealed FROM export WHERE task_id=? AND epoch=?", record.task);
  if (!row.executeStep()) return;
  data.export_folder = row.getColumn(0).getString();
  worker::v1::SealExportResult sealed;
  if (!row.getColumn(1).isNull() && sealed.ParseFromString(row.getColumn(1).getString())) {
    data.sealed = std::move(sealed);
  }
}

}  // namespace

BackupData journal::ReadData(SQLite::Database& db, const TaskRecord& record) {
  BackupData data;
  ReadVm(db, record, data);
  ReadDisks(db, record, data);
  ReadExport(db, record, data);
  return data;
}

absl::Status Journal::PutPreflight(const TaskId& task, const BackupData& data) {
  const VmDescription& vm = data.vm;
  return Write("save a preflight", [&](SQLite::Database& db) {
    Run(db,
        "INSERT OR REPLACE INTO vm(task_id, epoch, name, power, nvram, excluded, not_included, "
        "live_xml, inactive_xml, restore_xml)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        task, vm.name, static_cast<int64_t>(vm.power), vm.nvram, JoinExcluded(vm.excluded),
        absl::StrJoin(vm.not_included, "\n"), Blob{vm.live_xml}, Blob{vm.inactive_xml},
        Blob{data.restore_xml});
    for (size_t i = 0; i < vm.disks.size(); ++i) {
      PutDisk(db, task, static_cast<int64_t>(i), vm.disks[i],
              data.overlays.empty() ? "" : data.overlays[i].overlay);
    }
    return absl::OkStatus();
  });
}

absl::Status Journal::PutSnapshot(const TaskId& task, const SnapshotResult& snapshot) {
  return Write("save a snapshot", [&](SQLite::Database& db) {
    Run(db,
        "UPDATE vm SET snapshot_at=?3, consistency=?4, quiesce_detail=?5 WHERE task_id=?1 AND "
        "epoch=?2",
        task, journal::ToNanos(snapshot.instant), static_cast<int64_t>(snapshot.consistency),
        snapshot.quiesce_detail);
    return absl::OkStatus();
  });
}

absl::Status Journal::PutCopyBegin(const TaskId& task, const std::string& target,
                                   const CopyBegin& begin) {
  return Write("save a copy's begin", [&](SQLite::Database& db) {
    Run(db,
        "UPDATE disk SET copy_base=?4, copy_boot=?5, copy_until=?6"
        " WHERE task_id=?1 AND epoch=?2 AND target=?3",
        task, target, begin.base, begin.boot_id, absl::ToInt64Nanoseconds(begin.until));
    return absl::OkStatus();
  });
}

absl::Status Journal::PutCopy(const TaskId& task, const std::string& target,
                              const worker::v1::CopyResult& copy) {
  return Write("save a copy", [&](SQLite::Database& db) {
    Run(db, "UPDATE disk SET copy=?4 WHERE task_id=?1 AND epoch=?2 AND target=?3", task, target,
        Blob{copy.SerializeAsString()});
    return absl::OkStatus();
  });
}

absl::Status Journal::PutExportFolder(const TaskId& task, const std::string& folder) {
  return Write("save an export's folder", [&](SQLite::Database& db) {
    Run(db, "INSERT OR REPLACE INTO export(task_id, epoch, folder) VALUES(?, ?, ?)", task, folder);
    return absl::OkStatus();
  });
}

absl::Status Journal::PutSealed(const TaskId& task, const worker::v1::SealExportResult& sealed) {
  return Write("save a sealed export", [&](SQLite::Database& db) {
    Run(db, "UPDATE export SET sealed=?3 WHERE task_id=?1 AND epoch=?2", task,
        Blob{sealed.SerializeAsString()});
    return absl::OkStatus();
  });
}

absl::StatusOr<std::string> Journal::ExportFolder(const TaskId& task) {
  return Read("read an export's folder", [&](SQLite::Database& db) -> absl::StatusOr<std::string> {
    SQLite::Statement row =
        Query(db, "SELECT folder FROM export WHERE task_id=? AND epoch=?", task);
    return row.executeStep() ? row.getColumn(0).getString() : std::string();
  });
}

absl::StatusOr<std::optional<KnownTask>> Journal::FindByOverlay(const std::string& task_id) {
  return Read("find an overlay's task",
              [&](SQLite::Database& db) -> absl::StatusOr<std::optional<KnownTask>> {
                std::vector<KnownTask> tasks = journal::ReadTasks(db, "task_id=?", task_id);
                if (tasks.empty()) return std::nullopt;
                return std::move(tasks.back());
              });
}

absl::StatusOr<std::vector<KnownTask>> Journal::Stranded() {
  return Read("read stranded tasks",
              [](SQLite::Database& db) -> absl::StatusOr<std::vector<KnownTask>> {
                return journal::ReadTasks(db, "ended_at IS NOT NULL AND on_overlay=1");
              });
}

absl::Status Journal::ForgetOverlays(const TaskId& task) {
  return Write("forget overlays", [&](SQLite::Database& db) {
    Run(db, "UPDATE task SET on_overlay=0 WHERE task_id=? AND epoch=?", task);
    journal::DropForgotten(db);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<TaskRecord>> Journal::Leftovers() {
  return Read(
      "read leftovers", [](SQLite::Database& db) -> absl::StatusOr<std::vector<TaskRecord>> {
        std::vector<TaskRecord> records;
        for (KnownTask& task : journal::ReadTasks(db, "ended_at IS NOT NULL AND files_remain=1")) {
          records.push_back(std::move(task.record));
        }
        return records;
      });
}

absl::Status Journal::ForgetFiles(const TaskId& task) {
  return Write("forget files", [&](SQLite::Database& db) {
    Run(db, "UPDATE task SET files_remain=0 WHERE task_id=? AND epoch=?", task);
    journal::DropForgotten(db);
    return absl::OkStatus();
  });
}

absl::Status Journal::PutWorker(const WorkerProcess& worker) {
  return Write("save a worker", [&](SQLite::Database& db) {
    Run(db, "INSERT OR IGNORE INTO worker(pid, start_time, repository_id) VALUES(?, ?, ?)",
        int64_t{worker.pid}, static_cast<int64_t>(worker.start_time), worker.repository_id);
    return absl::OkStatus();
  });
}

absl::Status Journal::RemoveWorker(pid_t pid, uint64_t start_time) {
  return Write("forget a worker", [&](SQLite::Database& db) {
    Run(db, "DELETE FROM worker WHERE pid=? AND start_time=?", int64_t{pid},
        static_cast<int64_t>(start_time));
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<WorkerProcess>> Journal::Workers() {
  return Read("read workers",
              [](SQLite::Database& db) -> absl::StatusOr<std::vector<WorkerProcess>> {
                std::vector<WorkerProcess> workers;
                SQLite::Statement row(db, "SELECT pid, start_time, repository_id FROM worker");
                while (row.executeStep()) {
                  workers.push_back({row.getColumn(0).getInt(),
                                     static_cast<uint64_t>(row.getColumn(1).getInt64()),
                                     row.getColumn(2).getString()});
                }
                return workers;
              });
}

}  // namespace vmkeep::executor
