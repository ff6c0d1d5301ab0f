#include "tools/vmkeepctl/backup_text.h"

#include "tools/vmkeepctl/advice.h"
#include "tools/vmkeepctl/progress.h"
#include "tools/vmkeepctl/render.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include <map>
#include <utility>
#include <vector>

namespace vmkeep::ctl {
namespace {

// Short, for a table's cell.
std::string Note(const v1::Backup& backup) {
  if (backup.state() == v1::Backup::UNRESOURCED) return Printable(backup.failure().reason());
  if (backup.conditions_size() > 0) return Printable(backup.conditions(0).type());
  if (!backup.has_progress() || IsSettled(backup)) return {};
  const std::string percent = Percent(backup.progress());
  return absl::StrCat(v1::Progress::Phase_Name(backup.progress().phase()),
                      percent.empty() ? "" : " ", percent);
}

std::string LabelsText(const v1::Backup& backup) {
  // Sorted: the order of a proto map changes from run to run.
  const std::map<std::string, std::string> labels(backup.labels().begin(), backup.labels().end());
  return absl::StrJoin(
      labels, ", ", [](std::string* out, const std::pair<const std::string, std::string>& label) {
        absl::StrAppend(out, Printable(label.first), "=", Printable(label.second));
      });
}

std::string FailureText(const v1::Backup& backup) {
  if (!backup.has_failure()) return {};
  const v1::Failure& failure = backup.failure();
  return absl::StrCat(
      Printable(failure.message()), " (", Printable(failure.reason()), ", phase ",
      OrDash(failure.phase()), ", ",
      failure.retryable() ? "another try can help" : "another try cannot help without a change",
      ")");
}

std::string RepositoryText(const v1::Backup& backup) {
  if (backup.repository() == 0) return "not chosen yet";
  std::string text =
      absl::StrCat(backup.repository(), backup.repository() == 1 ? " (primary)" : " (secondary)");
  if (!backup.repository_id().empty())
    absl::StrAppend(&text, " ", Printable(backup.repository_id()));
  if (!backup.placement_reason().empty())
    absl::StrAppend(&text, ": ", Printable(backup.placement_reason()));
  return text;
}

std::string SizesText(const v1::Backup& backup) {
  if (backup.virtual_bytes() == 0 && backup.data_bytes() == 0 && backup.stored_bytes() == 0)
    return {};
  return absl::StrCat(FormatBytes(backup.virtual_bytes()), " virtual, ",
                      FormatBytes(backup.data_bytes()), " data, ",
                      FormatBytes(backup.stored_bytes()), " stored");
}

std::string ExcludedText(const v1::Backup& backup) {
  return absl::StrJoin(
      backup.excluded_disks(), ", ", [](std::string* out, const v1::ExcludedDisk& disk) {
        absl::StrAppend(out, Printable(disk.target()), " (", Printable(disk.reason()), ")");
      });
}

std::string TimeField(const google::protobuf::Timestamp& time, bool present) {
  return present ? TimeText(time, true) : "";
}

std::string QuiesceText(const v1::Backup& backup) {
  return backup.quiesce() == v1::Backup::QUIESCE_UNSPECIFIED
             ? ""
             : v1::Backup::Quiesce_Name(backup.quiesce());
}

std::string ConsistencyText(const v1::Backup& backup) {
  return backup.consistency() == v1::Backup::CONSISTENCY_UNSPECIFIED
             ? ""
             : v1::Backup::Consistency_Name(backup.consistency());
}

}  // namespace

std::string BackupTable(const v1::ListBackupsResponse& backups) {
  std::vector<Row> rows;
  for (const v1::Backup& backup : backups.backups()) {
    rows.push_back({OrDash(backup.id()), OrDash(VmLabel(backup)), OrDash(backup.name()),
                    OrDash(backup.host_id()),
                    backup.repository() == 0 ? "-" : absl::StrCat(backup.repository()),
                    v1::Backup::State_Name(backup.state()),
                    backup.stored_bytes() == 0 ? "-" : FormatBytes(backup.stored_bytes()),
                    TimeText(backup.time_valid(), backup.has_time_valid()),
                    TimeText(backup.create_time(), backup.has_create_time()), Note(backup)});
  }
  return FormatTable({{"ID"},
                      {"VM"},
                      {"NAME"},
                      {"HOST"},
                      {"REPO", Align::kRight},
                      {"STATE"},
                      {"STORED", Align::kRight},
                      {"VALID"},
                      {"CREATED"},
                      {"NOTE"}},
                     rows);
}

std::string BackupFields(const v1::Backup& backup) {
  return FormatFields({
      {"id", Printable(backup.id())},
      {"vm", Printable(backup.vm_id())},
      {"vm name", Printable(backup.vm_name())},
      {"vm uuid", Printable(backup.vm_uuid())},
      {"name", Printable(backup.name())},
      {"labels", LabelsText(backup)},
      {"state", absl::StrCat(v1::Backup::State_Name(backup.state()),
                             backup.simulated() ? " (simulated)" : "")},
      {"failure", FailureText(backup)},
      {"what to do", WhatToDo(backup)},
      {"progress",
       backup.has_progress() && !IsSettled(backup) ? ProgressText(backup.progress()) : ""},
      {"conditions", ConditionsText(backup)},
      {"host", Printable(backup.host_id())},
      {"hypervisor", Printable(backup.hypervisor())},
      {"repository", RepositoryText(backup)},
      {"quiesce", QuiesceText(backup)},
      {"consistency", ConsistencyText(backup)},
      {"sizes", SizesText(backup)},
      {"excluded disks", ExcludedText(backup)},
      {"valid", TimeField(backup.time_valid(), backup.has_time_valid())},
      {"created", TimeField(backup.create_time(), backup.has_create_time())},
      {"updated", TimeField(backup.update_time(), backup.has_update_time())},
      {"created by", Printable(backup.created_by())},
      {"project", Printable(backup.project())},
      {"manifest sha256", Printable(backup.manifest_sha256())},
      {"scrub level", Printable(backup.scrub_level())},
      {"try", backup.epoch() == 0 ? "" : absl::StrCat(backup.epoch())},
      {"etag", Printable(backup.etag())},
  });
}

}  // namespace vmkeep::ctl
