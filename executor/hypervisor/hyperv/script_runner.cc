#include "executor/hypervisor/hyperv/script_runner.h"

#include "common/clock.h"
#include "common/jsonl/jsonl.h"
#include "common/log.h"
#include "common/process/process.h"
#include "common/status_macros.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/hyperv/errors.h"
#include "executor/hypervisor/hyperv/protocol.h"
#include "executor/hypervisor/hyperv/script_files.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include <algorithm>
#include <memory>
#include <optional>

namespace vmkeep::executor::hyperv {
namespace {

constexpr size_t kMaxLoggedErrBytes = 1000;

// A stop of either kind, for a wait that knows of one.
class EitherStop {
 public:
  explicit EitherStop(const Stops& stops)
      : on_cancel_(stops.cancel, Pass{&either_}), on_abandon_(stops.abandon, Pass{&either_}) {}
  std::stop_token token() const { return either_.get_token(); }

 private:
  struct Pass {
    std::stop_source* to;
    void operator()() const { to->request_stop(); }
  };
  std::stop_source either_;
  std::stop_callback<Pass> on_cancel_;
  std::stop_callback<Pass> on_abandon_;
};

// One run from its start to its end.
class ScriptRun {
 public:
  ScriptRun(const RunnerOptions& options, const wire::Request& request,
            const ScriptContext& context, const RunLimits& limits, const Stops& stops,
            const ScriptRunner::OnLine& on_line)
      : options_(options),
        request_(request),
        script_(ScriptOf(request)),
        context_(context),
        limits_(limits),
        stops_(stops),
        either_(stops),
        on_line_(on_line),
        protocol_(script_) {}

  absl::Status Run() {
    VMKEEP_ASSIGN_OR_RETURN(
        child_, process::Spawn({.argv = {options_.interpreter, "-NoLogo", "-NoProfile",
                                         "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File",
                                         ScriptPath(options_.scripts, script_ + ".ps1")},
                                .environment = options_.environment,
                                .capture_stderr = true}));
    began_at_ = heard_at_ = Now();
    absl::Status status = Talk();
    child_->Kill();  // of no effect on one that has ended
    (void)child_->Wait(absl::Seconds(1));
    LogWhatWasStrange();
    return status;
  }

 private:
  static absl::Duration Now() { return RealClock().Monotonic(); }

  absl::Status Talk() {
    VMKEEP_ASSIGN_OR_RETURN(const std::string line, jsonl::Encode(request_));
    // Not read: it is dead, which shows below with more to say.
    (void)child_->Write(line, options_.start_deadline);
    while (true) {
      if (stops_.abandon.stop_requested()) return error::ScriptCancelled(script_);
      if (stops_.cancel.stop_requested()) AskToCancel();
      VMKEEP_RETURN_IF_ERROR(CheckLimits());
      // Once a cancel is sent the stop is old news: the read must wait for the answer.
      VMKEEP_ASSIGN_OR_RETURN(
          const process::ChildProcess::Output output,
          child_->ReadSome(UntilNextLimit(), cancelled_at_ ? stops_.abandon : either_.token()));
      for (const wire::Line& taken : protocol_.Feed(output.bytes)) Note(taken);
      if (output.ended || protocol_.broken() || ExitIsDue()) return Judge();
    }
  }

  void Note(const wire::Line& line) {
    heard_at_ = Now();
    if (protocol_.ended() && !ended_at_) {
      ended_at_ = heard_at_;
      child_->CloseStdin();  // it may still wait for a cancel
    }
    if (on_line_) on_line_(line);
  }

  absl::Status Judge() {
    std::optional<process::ExitStatus> exit;
    if (!protocol_.broken()) {
      const absl::Duration left = ended_at_ ? *ended_at_ + options_.exit_grace - Now()
                                            : std::min(options_.exit_grace, absl::Seconds(2));
      exit = child_->Wait(std::max(absl::ZeroDuration(), left));
    }
    return protocol_.Verdict(exit, child_->captured_stderr(), context_);
  }

  void AskToCancel() {
    if (cancelled_at_) return;
    cancelled_at_ = Now();
    wire::Request cancel;
    cancel.mutable_cancel();
    if (const absl::StatusOr<std::string> line = jsonl::Encode(cancel); line.ok()) {
      (void)child_->Write(*line, absl::ZeroDuration());
    }
  }

  bool ExitIsDue() const { return ended_at_ && Now() - *ended_at_ >= options_.exit_grace; }

  absl::Status CheckLimits() const {
    if (ended_at_) return absl::OkStatus();
    const absl::Duration now = Now();
    if (cancelled_at_ && now - *cancelled_at_ >= options_.cancel_grace) {
      return error::ScriptNotCancelled(script_, options_.cancel_grace);
    }
    if (!protocol_.said_hello() && now - began_at_ >= options_.start_deadline) {
      return error::ScriptDeadline(script_, "its first line", options_.start_deadline);
    }
    if (now - began_at_ >= limits_.deadline) {
      return error::ScriptDeadline(script_, "its end", limits_.deadline);
    }
    if (now - heard_at_ >= limits_.silence) {
      return error::ScriptDeadline(script_, "its next line", limits_.silence);
    }
    return absl::OkStatus();
  }

  absl::Duration UntilNextLimit() const {
    absl::Duration at = std::min(began_at_ + limits_.deadline, heard_at_ + limits_.silence);
    if (!protocol_.said_hello()) at = std::min(at, began_at_ + options_.start_deadline);
    if (cancelled_at_) at = std::min(at, *cancelled_at_ + options_.cancel_grace);
    if (ended_at_) at = *ended_at_ + options_.exit_grace;
    return std::max(absl::ZeroDuration(), at - Now());
  }

  // Neither is an error by itself: a profile, a module or a warning may write anything.
  void LogWhatWasStrange() const {
    const Noise& noise = protocol_.noise();
    if (noise.lines > 0) {
      log::Warning("script_noise", {{"script", script_},
                                    {"lines", noise.lines},
                                    {"first", absl::StrJoin(noise.first, " | ")}});
    }
    const std::string& err = child_->captured_stderr();
    if (err.empty()) return;
    const size_t skipped = err.size() - std::min(err.size(), kMaxLoggedErrBytes);
    log::Warning("script_stderr", {{"script", script_}, {"end", err.substr(skipped)}});
  }

  const RunnerOptions& options_;
  const wire::Request& request_;
  const std::string script_;
  const ScriptContext& context_;
  const RunLimits limits_;
  const Stops stops_;
  const EitherStop either_;
  const ScriptRunner::OnLine& on_line_;
  Protocol protocol_;
  std::unique_ptr<process::ChildProcess> child_;
  absl::Duration began_at_;
  absl::Duration heard_at_;  // of the last line that was taken
  std::optional<absl::Duration> cancelled_at_;
  std::optional<absl::Duration> ended_at_;  // when the ending came
};

}  // namespace

absl::Status ScriptRunner::Run(const wire::Request& request, const ScriptContext& context,
                               const RunLimits& limits, const Stops& stops,
                               const OnLine& on_line) const {
  if (ScriptOf(request).empty()) {
    return error::HypervisorFailed(context.doing, "there is no script for this request");
  }
  return ScriptRun(options_, request, context, limits, stops, on_line).Run();
}

}  // namespace vmkeep::executor::hyperv
