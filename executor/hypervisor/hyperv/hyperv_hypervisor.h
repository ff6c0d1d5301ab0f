#ifndef VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_HYPERV_HYPERVISOR_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_HYPERV_HYPERVISOR_H_

#include "common/clock.h"
#include "common/mutex.h"
#include "executor/hypervisor/hyperv/change_poll.h"
#include "executor/hypervisor/hyperv/export.h"
#include "executor/hypervisor/hyperv/script_files.h"
#include "executor/hypervisor/hyperv/script_runner.h"
#include "executor/hypervisor/hypervisor.h"

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::executor {

struct HyperVOptions {
  hyperv::RunnerOptions runner;
  // What the scripts must be; those of this build.
  hyperv::ScriptDigests digests = hyperv::BuiltScripts();
  // For a script that only looks.
  absl::Duration look_deadline = absl::Minutes(2);
  // How long end-export waits for an export to end; its own start comes on top. Whole seconds.
  absl::Duration end_wait = absl::Seconds(60);
  // Between two looks for VMs that changed.
  absl::Duration poll_period = absl::Seconds(30);
  hyperv::ExportLimits export_limits = {};
};

// Hyper-V on this host, through PowerShell: one process of one script per verb, see
// protos/vmkeep/hyperv/v1/script.proto. Thread-safe; verbs block for a script's start and its
// deadline at the most, StartExport() for ExportLimits::begin, EndExport() for the grace of a
// cancel and end_wait.
//
// Exports that run outlive the object: their scripts are killed, Hyper-V itself goes on, and the
// next process ends what it finds with EndExport().
class HyperVHypervisor final : public ExportHypervisor {
 public:
  // Checks the scripts, and lists the VMs once. SCRIPT_TAMPERED; HYPERV_MISSING; or what else
  // ListVms() fails with.
  static absl::StatusOr<std::unique_ptr<Hypervisor>> Open(HyperVOptions options,
                                                          Clock& clock = RealClock());
  ~HyperVHypervisor() override;

  std::string name() const override { return "hyperv"; }
  // A script said that no Hyper-V is behind it.
  bool simulated() const override { return simulated_; }
  absl::StatusOr<std::vector<VmSummary>> ListVms() override;
  void OnChange(std::function<void()> changed) override;
  absl::StatusOr<VmDescription> Describe(absl::string_view vm_uuid) override;
  absl::Status StartExport(const ExportPlan& plan, const std::stop_token& stop) override;
  absl::StatusOr<ExportStatus> GetExportStatus(const ExportPlan& plan) override;
  absl::Status EndExport(const ExportPlan& plan) override;

 private:
  HyperVHypervisor(HyperVOptions options, Clock& clock);

  // Runs a script that only looks; the `vm` lines.
  absl::StatusOr<std::vector<hyperv::wire::Vm>> Look(const hyperv::wire::Request& request,
                                                     const hyperv::ScriptContext& context,
                                                     const std::stop_token& stop);
  absl::StatusOr<std::vector<VmSummary>> List(const std::stop_token& stop);

  // exporting.cc
  std::shared_ptr<hyperv::Export> ExportOf(const std::string& vm_uuid);
  absl::Status EndWhateverRuns(const std::string& vm_uuid);
  absl::Status RunEndExport(const std::string& vm_uuid);

  const HyperVOptions options_;
  Clock& clock_;
  const hyperv::ScriptRunner runner_;
  std::atomic<bool> simulated_ = false;
  std::stop_source life_;  // stopped by the destructor

  Mutex mu_;
  // The latest of each VM, also when it has ended: its status is asked for.
  std::map<std::string, std::shared_ptr<hyperv::Export>> exports_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> ending_ ABSL_GUARDED_BY(mu_);  // VMs that end-export is at
  std::unique_ptr<hyperv::ChangePoll> poll_ ABSL_GUARDED_BY(mu_);
};

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_HYPERV_HYPERVISOR_H_
