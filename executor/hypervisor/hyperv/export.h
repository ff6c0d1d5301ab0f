#ifndef VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_EXPORT_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_EXPORT_H_

#include "common/clock.h"
#include "common/mutex.h"
#include "executor/hypervisor/hyperv/script_runner.h"
#include "executor/hypervisor/hypervisor.h"

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

#include <stop_token>
#include <string>
#include <thread>

namespace vmkeep::executor::hyperv {

struct ExportLimits {
  // Until Hyper-V has begun: with VSS in the guest it may take minutes.
  absl::Duration begin = absl::Minutes(10);
  // Without a line of the script, which writes one every 5 s: it is killed. Whether the export
  // itself moves is for the task to watch, by its percent and bytes.
  absl::Duration silence = absl::Minutes(5);
};

// One export of one VM: its script, on a thread of its own from the constructor to the script's
// end. Thread-safe. The destructor kills a script that runs, and waits for the thread; Hyper-V
// itself goes on then, and is ended by the next process (Hypervisor::EndExport()).
class Export {
 public:
  Export(const ScriptRunner* runner, ExportPlan plan, const ExportLimits& limits, Clock& clock);
  ~Export();
  Export(const Export&) = delete;
  Export& operator=(const Export&) = delete;

  const ExportPlan& plan() const { return plan_; }

  // OK once Hyper-V has begun; the refusal otherwise. Past ExportLimits::begin, or at the stop, it
  // is cancelled; the stop does not wait for its end.
  absl::Status AwaitBegun(const std::stop_token& stop);
  ExportStatus Status() const;
  // The script runs: it has not been told how it went.
  bool running() const;

  // Cancels what runs, and waits for the script's end, which is bounded by its grace. True when
  // Hyper-V is known to write nothing any more: it is done, was cancelled, or never began.
  bool CancelAndWait();

 private:
  void Run();
  wire::Request RequestOf() const;
  void Note(const wire::Line& line);
  void NoteStarted(const wire::Started& started) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void NoteEnd(const absl::Status& verdict);
  bool AwaitEndFor(absl::Duration timeout);

  const ScriptRunner& runner_;
  const ExportPlan plan_;
  const ExportLimits limits_;
  Clock& clock_;
  std::stop_source cancel_;
  std::stop_source abandon_;

  mutable Mutex mu_;
  CondVar changed_;
  bool found_ ABSL_GUARDED_BY(mu_) = false;  // the script has found the VM
  bool begun_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool quiet_ ABSL_GUARDED_BY(mu_) = false;  // see CancelAndWait()
  absl::Status wrong_ ABSL_GUARDED_BY(mu_);  // what was begun is not what was asked for
  ExportStatus status_ ABSL_GUARDED_BY(mu_);

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace vmkeep::executor::hyperv

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_EXPORT_H_
