#include "executor/service/convert.h"

#include "common/error.h"
#include "common/uuid.h"
#include "executor/task/backup_manifest.h"

#include <string>
#include <utility>
#include <vector>

namespace vmkeep::executor {
namespace {

using Violations = std::vector<FieldViolation>;

constexpr int kMaxLabels = 64;
constexpr size_t kMaxTextBytes = 1024;
constexpr char kUuidForm[] = "a UUID in lower case, such as 0190a5b0-0000-7000-8000-000000000001";

void CheckUuid(const std::string& field, const std::string& value, Violations& violations) {
  if (!IsUuid(value)) violations.push_back({field, absl::StrCat("must be ", kUuidForm)});
}

void CheckRef(const v1::TaskRef& ref, Violations& violations) {
  CheckUuid("task.task_id", ref.task_id(), violations);
  if (ref.epoch() < 1) violations.push_back({"task.epoch", "must be 1 or more"});
}

// What both kinds of tasks have.
template <typename Spec>
void TakeSpec(const std::string& field, const Spec& spec, TaskRecord& record,
              Violations& violations) {
  CheckUuid(field + ".backup_id", spec.backup_id(), violations);
  CheckUuid(field + ".vm_uuid", spec.vm_uuid(), violations);
  CheckUuid(field + ".repository_id", spec.repository_id(), violations);
  if (spec.repository() != 1 && spec.repository() != 2) {
    violations.push_back({field + ".repository", "must be 1 (primary) or 2 (secondary)"});
  }
  record.backup_id = spec.backup_id();
  record.vm_uuid = spec.vm_uuid();
  record.slot = spec.repository();
  record.repository_id = spec.repository_id();
}

void CheckBackup(const v1::BackupSpec& spec, Violations& violations) {
  if (!::vmkeep::v1::Backup::Quiesce_IsValid(spec.quiesce())) {
    violations.push_back({"backup.quiesce", "must be IF_AVAILABLE, REQUIRED or NEVER"});
  }
  if (spec.copy_deadline().seconds() < 0 || spec.copy_deadline().nanos() < 0) {
    violations.push_back({"backup.copy_deadline", "must not be negative"});
  }
  if (spec.name().size() > kMaxTextBytes || spec.vm_id().size() > kMaxTextBytes ||
      spec.project().size() > kMaxTextBytes || spec.host_id().size() > kMaxTextBytes) {
    violations.push_back({"backup", "has a name or id of more than 1024 bytes"});
  }
  if (spec.labels_size() > kMaxLabels) {
    violations.push_back({"backup.labels", "must be at most 64"});
  }
  for (const auto& [key, value] : spec.labels()) {
    if (key.size() <= kMaxTextBytes && value.size() <= kMaxTextBytes) continue;
    violations.push_back({"backup.labels", "has a key or value of more than 1024 bytes"});
    break;
  }
}

}  // namespace

absl::StatusOr<TaskRecord> ToRecord(const v1::StartTaskRequest& request, absl::Time now) {
  TaskRecord record;
  Violations violations;
  CheckRef(request.task(), violations);
  record.task = {request.task().task_id(), request.task().epoch()};
  record.accept_time = now;
  switch (request.spec_case()) {
    case v1::StartTaskRequest::kBackup:
      record.kind = TaskKind::kBackup;
      record.backup = request.backup();
      TakeSpec("backup", request.backup(), record, violations);
      CheckBackup(request.backup(), violations);
      break;
    case v1::StartTaskRequest::kScrub:
      record.kind = TaskKind::kScrub;
      TakeSpec("scrub", request.scrub(), record, violations);
      break;
    case v1::StartTaskRequest::SPEC_NOT_SET:
      violations.push_back({"spec", "must be backup or scrub"});
      break;
  }
  if (!violations.empty()) return InvalidArgument(violations);
  return record;
}

absl::StatusOr<TaskId> ToTaskId(const v1::TaskRef& ref) {
  Violations violations;
  CheckRef(ref, violations);
  if (!violations.empty()) return InvalidArgument(violations);
  return TaskId{ref.task_id(), ref.epoch()};
}

v1::TaskStatus ToProto(const TaskSummary& task) {
  v1::TaskStatus status;
  status.mutable_task()->set_task_id(task.record.task.id);
  status.mutable_task()->set_epoch(task.record.task.epoch);
  status.set_backup_id(task.record.backup_id);
  status.set_vm_uuid(task.record.vm_uuid);
  status.set_kind(std::string(TaskKindName(task.record.kind)));
  status.set_step(task.step);
  status.set_ended(task.ended);
  *status.mutable_accept_time() = ToTimestamp(task.record.accept_time);
  return status;
}

}  // namespace vmkeep::executor
