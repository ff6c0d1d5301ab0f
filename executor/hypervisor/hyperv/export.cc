#include "executor/hypervisor/hyperv/export.h"

#include "common/log.h"
#include "executor/hypervisor/errors.h"
#include "executor/hypervisor/hyperv/errors.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <vector>

namespace vmkeep::executor::hyperv {
namespace {

constexpr char kScript[] = "export-vm";
// Beyond the script's own limits, which end it.
constexpr absl::Duration kThreadSlack = absl::Seconds(5);

// The captures that a policy allows, the best first.
std::vector<wire::Capture> CapturesOf(QuiescePolicy policy) {
  switch (policy) {
    case QuiescePolicy::kRequired:
      return {wire::DATA_CONSISTENT};
    case QuiescePolicy::kIfAvailable:
      return {wire::DATA_CONSISTENT, wire::CRASH_CONSISTENT};
    case QuiescePolicy::kNever:
      break;
  }
  return {wire::CRASH_CONSISTENT};
}

// Reasons for which a script refuses before it asks Hyper-V for anything.
bool RefusedBeforehand(const wire::Error& error) {
  return error.reason() == "BUSY" || error.reason() == "NOT_A_FOLDER";
}

std::string DetailOf(const wire::Started& started, QuiescePolicy policy) {
  // As libvirt's backend says it: whoever reads a record need not know which one it was.
  if (started.off()) return "the VM was off: nothing wrote to its disks";
  if (started.capture() == wire::DATA_CONSISTENT)
    return "VSS in the guest made its data consistent";
  if (policy == QuiescePolicy::kNever) return "not asked for";
  return "the guest could not make its data consistent: captured as after a power cut";
}

}  // namespace

Export::Export(const ScriptRunner* runner, ExportPlan plan, const ExportLimits& limits,
               Clock& clock)
    : runner_(*runner), plan_(std::move(plan)), limits_(limits), clock_(clock), thread_([this] {
        Run();
      }) {}

Export::~Export() {
  abandon_.request_stop();
  thread_.join();
}

wire::Request Export::RequestOf() const {
  wire::Request request;
  wire::ExportVm& verb = *request.mutable_export_vm();
  verb.set_vm_id(plan_.vm_uuid);
  verb.set_folder(plan_.folder);
  for (const wire::Capture capture : CapturesOf(plan_.quiesce)) verb.add_captures(capture);
  return request;
}

void Export::Run() {
  const log::Scope scope({{"vm", plan_.vm_uuid}});
  {
    MutexLock lock(&mu_);
    status_.phase = ExportPhase::kRunning;
    // Before the request: what the guest had flushed by now is in the export for certain. The
    // capture itself comes later, and no line tells when: `started` is after it.
    status_.result.instant = clock_.Now();
  }
  const absl::Status verdict =
      runner_.Run(RequestOf(), {.doing = "export the VM", .vm = plan_.vm_uuid, .exports = true},
                  {.silence = limits_.silence},
                  {.cancel = cancel_.get_token(), .abandon = abandon_.get_token()},
                  [this](const wire::Line& line) { Note(line); });
  NoteEnd(verdict);
}

void Export::Note(const wire::Line& line) {
  MutexLock lock(&mu_);
  if (line.has_vm()) found_ = true;
  if (line.has_started()) NoteStarted(line.started());
  if (line.has_progress()) {
    status_.percent = std::clamp(line.progress().percent(), 0, 100);
    status_.bytes_done = std::max<int64_t>(0, line.progress().bytes_done());
  }
  // Of a script that is killed after `cancelled`, nothing runs all the same.
  if (line.has_cancelled()) quiet_ = true;
  // A script looks for the VM, says so, and only then begins anything.
  if (line.has_error()) quiet_ = !found_ || (!begun_ && RefusedBeforehand(line.error()));
}

// What was begun must be what was asked for: the record is made of it.
void Export::NoteStarted(const wire::Started& started) {
  const std::vector<wire::Capture> allowed = CapturesOf(plan_.quiesce);
  const bool as_asked = started.off() || std::find(allowed.begin(), allowed.end(),
                                                   started.capture()) != allowed.end();
  if (!as_asked && started.capture() == wire::CRASH_CONSISTENT) {
    wrong_ =
        error::QuiesceFailed(plan_.vm_uuid, "the script fell back to a crash-consistent capture");
  } else if (!as_asked) {
    wrong_ = error::ScriptProtocol(kScript, "began an export and does not say what it captured");
  }
  if (!wrong_.ok()) {
    cancel_.request_stop();
    return;
  }
  begun_ = true;
  const bool consistent = !started.off() && started.capture() == wire::DATA_CONSISTENT;
  status_.result.consistency = consistent ? Consistency::kApplication : Consistency::kCrash;
  status_.result.quiesce_detail = DetailOf(started, plan_.quiesce);
  changed_.NotifyAll();
}

void Export::NoteEnd(const absl::Status& verdict) {
  MutexLock lock(&mu_);
  ended_ = true;
  status_.error = wrong_.ok() ? verdict : wrong_;
  status_.phase = status_.error.ok() ? ExportPhase::kDone : ExportPhase::kFailed;
  if (status_.phase == ExportPhase::kDone) {
    quiet_ = true;
    status_.percent = 100;
  }
  changed_.NotifyAll();
}

absl::Status Export::AwaitBegun(const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] {
    MutexLock lock(&mu_);
    changed_.NotifyAll();
  });
  {
    MutexLock lock(&mu_);
    const absl::Duration deadline = RealClock().Monotonic() + limits_.begin;
    while (!begun_ && !ended_ && !stop.stop_requested()) {
      const absl::Duration left = deadline - RealClock().Monotonic();
      if (left <= absl::ZeroDuration()) break;
      changed_.WaitFor(&mu_, left);
    }
    if (begun_) return absl::OkStatus();
    if (ended_) return status_.error;
  }
  if (stop.stop_requested()) {
    cancel_.request_stop();
    return error::ScriptCancelled(kScript);
  }
  (void)CancelAndWait();
  return error::ScriptDeadline(kScript, "the export's begin", limits_.begin);
}

ExportStatus Export::Status() const {
  MutexLock lock(&mu_);
  ExportStatus status = status_;
  if (!ended_) status.phase = ExportPhase::kRunning;
  return status;
}

bool Export::running() const {
  MutexLock lock(&mu_);
  return !ended_;
}

bool Export::CancelAndWait() {
  cancel_.request_stop();
  const RunnerOptions& options = runner_.options();
  const bool ended = AwaitEndFor(options.cancel_grace + options.exit_grace + kThreadSlack);
  MutexLock lock(&mu_);
  return ended && quiet_;
}

bool Export::AwaitEndFor(absl::Duration timeout) {
  MutexLock lock(&mu_);
  const absl::Duration deadline = RealClock().Monotonic() + timeout;
  while (!ended_) {
    const absl::Duration left = deadline - RealClock().Monotonic();
    if (left <= absl::ZeroDuration()) return false;
    changed_.WaitFor(&mu_, left);
  }
  return true;
}

}  // namespace vmkeep::executor::hyperv
