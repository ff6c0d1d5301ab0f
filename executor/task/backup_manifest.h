#ifndef VMKEEP_EXECUTOR_TASK_BACKUP_MANIFEST_H_
#define VMKEEP_EXECUTOR_TASK_BACKUP_MANIFEST_H_

#include "executor/hypervisor/hypervisor.h"
#include "executor/task/journal/records.h"
#include "vmkeep/executor/v1/task.pb.h"
#include "vmkeep/worker/v1/worker.pb.h"

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/timestamp.pb.h"

#include <string>

// What a finished copy says of itself: in the repository and to the controller. Pure, but for the
// hypervisor's RestoreXml.
namespace vmkeep::executor {

google::protobuf::Timestamp ToTimestamp(absl::Time time);

// The publish job but for its repository: manifest and small files. Copies of all disks are there.
absl::StatusOr<worker::v1::Publish> PublishJob(const TaskRecord& record, const BackupData& data,
                                               absl::string_view hostname, Hypervisor& hypervisor);

v1::BackupResult ResultOf(const BackupData& data, const worker::v1::PublishResult& published,
                          bool simulated);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_BACKUP_MANIFEST_H_
