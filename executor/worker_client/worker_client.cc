#include "executor/worker_client/worker_client.h"

#include "common/clock.h"
#include "common/jsonl/jsonl.h"
#include "common/process/process.h"
#include "common/status_macros.h"
#include "executor/worker_client/errors.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

namespace vmkeep::executor {
namespace {

using worker::v1::Progress;
using worker::v1::Request;
using worker::v1::Response;
using worker::v1::Result;

// A worker answers a cancel within 1 s, even when its job hangs.
constexpr absl::Duration kCancelGrace = absl::Milliseconds(1200);
// What a worker may still need after its answer, and after a SIGKILL, before it is left behind.
constexpr absl::Duration kExitGrace = absl::Milliseconds(500);

// One worker from its start to its end.
class Conversation {
 public:
  Conversation(const Request* request, absl::Duration deadline, absl::Duration stall,
               const std::stop_token& stop, const Worker::Hooks* hooks)
      : request_(*request),
        deadline_(deadline),
        deadline_at_(Now() + deadline),
        stall_(request->has_copy() || request->has_seal_export() ? stall
                                                                 : absl::InfiniteDuration()),
        stop_(stop),
        hooks_(*hooks) {}

  absl::StatusOr<Result> Run(const std::string& binary) {
    VMKEEP_ASSIGN_OR_RETURN(child_, process::Spawn({.argv = {binary}}));
    if (hooks_.on_started) hooks_.on_started(child_->id().pid, child_->id().start_time);
    absl::StatusOr<Result> result = Talk();
    // Its answer is final whatever it does now; a killed one that hangs in the kernel is not waited
    // for.
    if (!answered_) child_->Kill();
    (void)child_->Wait(kExitGrace);
    return result;
  }

 private:
  static absl::Duration Now() { return RealClock().Monotonic(); }

  absl::StatusOr<Result> Talk() {
    VMKEEP_ASSIGN_OR_RETURN(const std::string line, jsonl::Encode(request_));
    // Not read: it is dead, which shows below with more to say.
    (void)child_->Write(line, std::min(deadline_, stall_));
    moved_at_ = Now();
    while (true) {
      VMKEEP_ASSIGN_OR_RETURN(const std::optional<Result> result, NextLines());
      if (result) return *result;
      if (stop_.stop_requested()) AskToCancel();
      VMKEEP_RETURN_IF_ERROR(CheckLimits());
      // Once a cancel is sent the stop is old news: the read must wait for the answer.
      VMKEEP_ASSIGN_OR_RETURN(
          const process::ChildProcess::Output output,
          child_->ReadSome(UntilNextLimit(), cancelled_at_ ? std::stop_token() : stop_));
      if (output.ended) return Died();
      lines_.Append(output.bytes);
    }
  }

  // Handles the lines that are there; the result when it is among them.
  absl::StatusOr<std::optional<Result>> NextLines() {
    while (true) {
      absl::StatusOr<std::optional<std::string>> line = lines_.Next();
      if (!line.ok()) return error::WorkerProtocol(std::string(line.status().message()));
      if (!*line) return std::nullopt;
      Response response;
      if (const absl::Status status = jsonl::Decode(**line, &response); !status.ok()) {
        return error::WorkerProtocol(std::string(status.message()));
      }
      if (response.has_progress()) {
        Note(response.progress());
        continue;
      }
      if (!response.has_result() && !response.has_error()) continue;  // of a newer worker
      answered_ = true;
      if (response.has_error()) return error::FromWorker(response.error());
      return response.result();
    }
  }

  void Note(const Progress& progress) {
    // Also the first one, which says that the copy begins.
    if (progress.bytes_done() != bytes_done_) moved_at_ = Now();
    bytes_done_ = progress.bytes_done();
    if (hooks_.on_progress) hooks_.on_progress(progress);
  }

  void AskToCancel() {
    if (cancelled_at_) return;
    cancelled_at_ = Now();
    Request cancel;
    cancel.mutable_cancel();
    if (const absl::StatusOr<std::string> line = jsonl::Encode(cancel); line.ok()) {
      (void)child_->Write(*line, absl::ZeroDuration());
    }
    child_->CloseStdin();  // says the same, should the line not get through
  }

  absl::Status CheckLimits() const {
    if (cancelled_at_ && Now() - *cancelled_at_ >= kCancelGrace) return error::WorkerCancelled();
    if (Now() >= deadline_at_) return error::WorkerDeadline(deadline_);
    if (Now() - moved_at_ >= stall_) return error::CopyStalled(request_, stall_);
    return absl::OkStatus();
  }

  absl::Duration UntilNextLimit() const {
    absl::Duration at = std::min(deadline_at_, moved_at_ + stall_);
    if (cancelled_at_) at = std::min(at, *cancelled_at_ + kCancelGrace);
    return std::max(absl::ZeroDuration(), at - Now());
  }

  absl::Status Died() {
    if (stop_.stop_requested()) return error::WorkerCancelled();
    const std::optional<process::ExitStatus> status = child_->Wait(kExitGrace);
    return error::WorkerDied(status ? status->ToString() : "it closed its output");
  }

  const Request& request_;
  const absl::Duration deadline_;
  const absl::Duration deadline_at_;
  const absl::Duration stall_;
  const std::stop_token stop_;
  const Worker::Hooks& hooks_;
  std::unique_ptr<process::ChildProcess> child_;
  jsonl::LineReader lines_;
  int64_t bytes_done_ = -1;
  absl::Duration moved_at_;
  std::optional<absl::Duration> cancelled_at_;
  bool answered_ = false;
};

}  // namespace

ProcessWorker::ProcessWorker(std::string binary_path) : binary_path_(std::move(binary_path)) {}

absl::StatusOr<Result> ProcessWorker::Run(const Request& request, absl::Duration deadline,
                                          absl::Duration stall, const std::stop_token& stop,
                                          const Hooks& hooks) {
  return Conversation(&request, deadline, stall, stop, &hooks).Run(binary_path_);
}

}  // namespace vmkeep::executor
