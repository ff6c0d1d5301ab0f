#ifndef VMKEEP_EXECUTOR_TASK_WORKER_JOB_H_
#define VMKEEP_EXECUTOR_TASK_WORKER_JOB_H_

#include "executor/task/environment.h"
#include "executor/task/journal/records.h"
#include "vmkeep/worker/v1/worker.pb.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include <functional>
#include <stop_token>
#include <string>

// One job of a worker, with the process in the journal as long as it may live.
namespace vmkeep::executor {

struct JobLimits {
  absl::Duration deadline;
  absl::Duration stall = absl::InfiniteDuration();  // of a copy
};
using OnProgress = std::function<void(const worker::v1::Progress&)>;

// The repository of a slot, as the worker must find it. FAILED_PRECONDITION,
// REPOSITORY_NOT_CONFIGURED.
absl::StatusOr<worker::v1::Repository> RepositoryOf(const TaskOptions& options, int slot,
                                                    const std::string& id);

absl::StatusOr<worker::v1::Result> RunJob(const Environment& env,
                                          const worker::v1::Request& request,
                                          const std::string& repository_id, const JobLimits& limits,
                                          const std::stop_token& stop,
                                          const OnProgress& on_progress = nullptr);

// Removes what a task may have left: in .incoming/, and published, when its publish failed without
// a clear answer. Another try's stays. Where a hypervisor was let write, it is asked to end that
// first: UNAVAILABLE, EXPORT_NOT_ENDED, and nothing is removed, while it may still write.
absl::Status DiscardTry(const Environment& env, const TaskRecord& record,
                        const std::stop_token& stop);
// Removes the backup's published folder. Absent is OK.
absl::Status ScrubPublished(const Environment& env, const TaskRecord& record,
                            const std::stop_token& stop);

// Ends the workers that a crash of ours left running, and waits a moment for their end. They lost
// their stdin and end by themselves, unless they hang.
void EndLeftoverWorkers(Journal& journal);
// Takes those that ended since they were abandoned out of the journal.
void ForgetEndedWorkers(Journal& journal);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_TASK_WORKER_JOB_H_
