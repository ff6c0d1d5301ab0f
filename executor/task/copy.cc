#include "executor/task/copy.h"

#include "common/mutex.h"
#include "common/status_macros.h"
#include "executor/flat_view/flat_view.h"
#include "executor/task/preflight.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>

namespace vmkeep::executor {
namespace {

constexpr absl::Duration kLookEvery = absl::Seconds(1);
// To open a chain takes milliseconds, and seconds on a host that is very busy.
constexpr absl::Duration kViewAnswersWithin = absl::Seconds(30);

// Looks at the host's free space while a copy runs, and stops the copy when it gets scarce. A
// thread of its own: a copy that hangs on a dead NAS tells nothing while the guest goes on writing.
class RoomWatch {
 public:
  RoomWatch(Clock& clock, const std::function<absl::Status()>& room, std::stop_source& copy)
      : thread_([this, &clock, &room, &copy](const std::stop_token& stop) {
          while (clock.WaitFor(kLookEvery, stop)) {
            absl::Status status = room();
            if (!absl::IsResourceExhausted(status)) continue;
            {
              MutexLock lock(&mu_);
              alarm_ = status;
            }
            copy.request_stop();
            return;
          }
        }) {}

  // OK while there was room all the time.
  absl::Status alarm() {
    MutexLock lock(&mu_);
    return alarm_;
  }

 private:
  Mutex mu_;
  absl::Status alarm_ ABSL_GUARDED_BY(mu_);
  std::jthread thread_;  // last: it uses the rest
};

absl::StatusOr<worker::v1::Request> CopyRequest(const Environment& env, const TaskRecord& record,
                                                const Disk& disk, bool resume) {
  worker::v1::Request request;
  worker::v1::Copy& copy = *request.mutable_copy();
  VMKEEP_ASSIGN_OR_RETURN(*copy.mutable_repository(),
                          RepositoryOf(env.options, record.slot, record.repository_id));
  copy.set_incoming(record.task.ToString());
  copy.set_source(disk.source);
  copy.set_format(disk.stored_format());
  copy.set_file(DiskFileName(disk));
  copy.set_resume(resume);
  copy.set_stall_seconds(absl::ToInt64Seconds(env.options.stall_timeout));
  return request;
}

void Describe(const FlatView& view, worker::v1::FlatView& message) {
  message.set_socket(view.socket());
  message.set_export_name(view.export_name());
  for (const std::string& file : view.files()) message.add_files(file);
}

// Runs the copy, of a disk in several files through a view. That one is gone when this returns,
// whatever it returns: its locks would keep the merge out.
absl::StatusOr<worker::v1::Result> RunCopyJob(const Environment& env, const TaskRecord& record,
                                              const Disk& disk, const CopyTerms& terms,
                                              const std::stop_token& stop,
                                              const OnProgress& on_progress) {
  VMKEEP_ASSIGN_OR_RETURN(worker::v1::Request request,
                          CopyRequest(env, record, disk, terms.resume));
  const absl::Duration deadline_at = env.clock.Monotonic() + terms.deadline;
  std::unique_ptr<FlatView> view;
  if (disk.flat()) {
    VMKEEP_ASSIGN_OR_RETURN(view,
                            FlatView::Open(disk, env.options.flat_view_dir, env.clock,
                                           std::min(terms.deadline, kViewAnswersWithin), stop));
    Describe(*view, *request.mutable_copy()->mutable_flat());
  }
  absl::StatusOr<worker::v1::Result> result =
      RunJob(env, request, record.repository_id,
             {.deadline = deadline_at - env.clock.Monotonic(), .stall = env.options.stall_timeout},
             stop, on_progress);
  // What the worker saw was a connection that ended; the view knows why.
  const bool failed = !result.ok() && !absl::IsCancelled(result.status());
  if (failed && view != nullptr) VMKEEP_RETURN_IF_ERROR(view->Check());
  return result;
}

}  // namespace

std::string DiskFileName(const Disk& disk) {
  return absl::StrCat("disk-", disk.target, ".", disk.stored_format());
}

absl::StatusOr<worker::v1::CopyResult> CopyDisk(const Environment& env, const TaskRecord& record,
                                                const Disk& disk, const CopyTerms& terms,
                                                const std::stop_token& stop,
                                                const OnProgress& on_progress) {
  VMKEEP_RETURN_IF_ERROR(CheckSameFile(disk));
  std::stop_source copying;
  const std::stop_callback forward(stop, [&copying] { copying.request_stop(); });
  RoomWatch watch(env.clock, terms.room, copying);
  absl::StatusOr<worker::v1::Result> result =
      RunCopyJob(env, record, disk, terms, copying.get_token(), on_progress);
  if (result.ok()) return std::move(*result->mutable_copy());
  if (absl::Status alarm = watch.alarm(); !alarm.ok()) return alarm;
  return result.status();
}

}  // namespace vmkeep::executor
