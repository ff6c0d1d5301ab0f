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

// What a finished copy says of itself: in the repository and to the controller. Pure.
namespace vmkeep::executor {

google::protobuf::Timestamp ToTimestamp(absl::Time time);

// Who made the backup.
struct Maker {
  std::string hostname;
  std::string hypervisor;
  bool simulated = false;
};

// The publish job but for its repository: manifest, small files, and what an export holds beside
// its disks. INTERNAL when a disk was not copied or sealed.
absl::StatusOr<worker::v1::Publish> PublishJob(const TaskRecord& record, const BackupData& data,
                                               const Maker& maker);

v1::BackupResult ResultOf(const BackupData& data, const worker::v1::PublishResult& published,
                          bool simulated);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_BACKUP_MANIFEST_H_
