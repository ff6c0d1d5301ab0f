#ifndef VMKEEP_EXECUTOR_WORKER_CLIENT_ERRORS_H_
#define VMKEEP_EXECUTOR_WORKER_CLIENT_ERRORS_H_

#include "vmkeep/worker/v1/worker.pb.h"

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace vmkeep::executor::error {

absl::Status WorkerDeadline(absl::Duration after);  // kDeadlineExceeded, WORKER_DEADLINE
// kDeadlineExceeded, COPY_STALLED; of a copy or a seal.
absl::Status CopyStalled(const worker::v1::Request& job, absl::Duration after);
absl::Status WorkerCancelled();                      // kCancelled, CANCELLED
absl::Status WorkerDied(absl::string_view how);      // kUnavailable, WORKER_DIED
absl::Status WorkerProtocol(absl::string_view why);  // kInternal, WORKER_PROTOCOL
// kUnavailable, REPOSITORY_STUCK; metadata "root", "hanging": processes that cannot be killed.
absl::Status RepositoryStuck(absl::string_view root, int hanging);
// What the worker itself answered.
absl::Status FromWorker(const worker::v1::Error& error);

}  // namespace vmkeep::executor::error

#endif  // VMKEEP_EXECUTOR_WORKER_CLIENT_ERRORS_H_
