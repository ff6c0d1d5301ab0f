#include "executor/metrics/measured_worker.h"

#include "common/error.h"
#include "common/log.h"
#include "executor/metrics/families.h"

#include <utility>

namespace vmkeep::executor {
namespace {

using worker::v1::Request;
using worker::v1::Result;

const char* JobName(const Request& request) {
  switch (request.job_case()) {
    case Request::kProbe:
      return "probe";
    case Request::kInitRepository:
      return "init_repository";
    case Request::kCopy:
      return "copy";
    case Request::kPublish:
      return "publish";
    case Request::kDiscard:
      return "discard";
    case Request::kScrub:
      return "scrub";
    case Request::kPrepareExport:
      return "prepare_export";
    case Request::kSealExport:
      return "seal_export";
    default:
      return "other";
  }
}

std::string ResultName(const absl::Status& status) {
  return status.ok() ? "ok" : ReasonOrCode(status);
}

// A probe is no news, every minute and for each repository.
void Log(bool quiet, absl::string_view event, log::Fields fields) {
  return quiet ? log::Debug(event, fields) : log::Info(event, fields);
}

}  // namespace

absl::StatusOr<Result> MeasuredWorker::Run(const Request& request, absl::Duration deadline,
                                           absl::Duration stall, const std::stop_token& stop,
                                           const Hooks& hooks) {
  const std::string job = JobName(request);
  const bool quiet = request.has_probe();
  pid_t process = 0;
  int64_t copied = 0;
  const metrics::Labels repository = {{"repository_id", request.copy().repository().id()}};
  const auto count = [&](int64_t done) {
    if (done <= copied) return;
    registry_.Count(family::kCopiedBytes, repository, static_cast<double>(done - copied));
    copied = done;
  };
  Hooks measured;
  measured.on_started = [&](pid_t pid, uint64_t start_time) {
    process = pid;
    Log(quiet, "worker_started", {{"job", job}, {"pid", pid}, {"disk", request.copy().file()}});
    if (hooks.on_started) hooks.on_started(pid, start_time);
  };
  measured.on_progress = [&](const worker::v1::Progress& progress) {
    if (request.has_copy()) count(progress.bytes_done());
    if (hooks.on_progress) hooks.on_progress(progress);
  };
  Begin(job);
  const absl::Duration began = clock_.Monotonic();
  absl::StatusOr<Result> result = worker_.Run(request, deadline, stall, stop, measured);
  const absl::Duration took = clock_.Monotonic() - began;
  End(job);
  if (result.ok() && request.has_copy()) count(result->copy().file_bytes());
  const std::string outcome = ResultName(result.status());
  registry_.Observe(family::kWorkerJobSeconds, {{"job", job}, {"result", outcome}}, took);
  Log(quiet, "worker_ended",
      {{"job", job},
       {"pid", process},
       {"result", outcome},
       {"seconds", absl::ToDoubleSeconds(took)}});
  return result;
}

void MeasuredWorker::Begin(const std::string& job) {
  MutexLock lock(&mu_);
  ++running_[job];
}

void MeasuredWorker::End(const std::string& job) {
  MutexLock lock(&mu_);
  --running_[job];
}

void MeasuredWorker::Collect(metrics::Gauges& gauges) {
  MutexLock lock(&mu_);
  for (const auto& [job, count] : running_) gauges.Set(family::kWorkers, {{"job", job}}, count);
}

}  // namespace vmkeep::executor
