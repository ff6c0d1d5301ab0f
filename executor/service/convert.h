#ifndef VMKEEP_EXECUTOR_SERVICE_CONVERT_H_
#define VMKEEP_EXECUTOR_SERVICE_CONVERT_H_

#include "executor/task/journal/records.h"
#include "vmkeep/executor/v1/executor_service.pb.h"

#include "absl/status/statusor.h"
#include "absl/time/time.h"

// Between the wire and the task engine. What does not fit is INVALID_ARGUMENT, with every field
// that is wrong.
namespace vmkeep::executor {

absl::StatusOr<TaskRecord> ToRecord(const v1::StartTaskRequest& request, absl::Time now);
absl::StatusOr<TaskId> ToTaskId(const v1::TaskRef& ref);
v1::TaskStatus ToProto(const TaskSummary& task);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_SERVICE_CONVERT_H_
