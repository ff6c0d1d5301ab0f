#ifndef VMKEEP_TESTS_UNIT_TASK_FAKE_EXPORTER_H_
#define VMKEEP_TESTS_UNIT_TASK_FAKE_EXPORTER_H_

#include "common/mutex.h"
#include "executor/hypervisor/hypervisor.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::executor::test {

// A hypervisor that exports: one VM, and at most one export of it. Knows in memory what it exports,
// until Forget(); what it is asked for goes to `note`. Thread-safe once the hooks are set.
class FakeExporter final : public ExportHypervisor {
 public:
  std::function<void(const std::string&)> note = [](const std::string&) {};
  std::function<absl::Status()> on_start;
  // How the export stands at each look; done at once by default.
  std::function<absl::StatusOr<ExportStatus>()> on_status;
  std::function<absl::Status()> on_end;

  explicit FakeExporter(VmDescription vm) : vm_(std::move(vm)) {}

  static ExportStatus Done() {
    return {.phase = ExportPhase::kDone,
            .percent = 100,
            .bytes_done = 1,
            .error = {},
            .result = {absl::FromUnixSeconds(1'000'000), Consistency::kApplication, "VSS"}};
  }
  static ExportStatus Running(int percent, int64_t bytes) {
    return {.phase = ExportPhase::kRunning,
            .percent = percent,
            .bytes_done = bytes,
            .error = {},
            .result = {}};
  }

  std::vector<ExportPlan> plans() {  // that were started
    MutexLock lock(&mu_);
    return plans_;
  }
  std::vector<std::string> ended() {  // folders
    MutexLock lock(&mu_);
    return ended_;
  }
  // As its process would after a restart.
  void Forget() {
    MutexLock lock(&mu_);
    known_.clear();
  }

  std::string name() const override { return "hyperv"; }
  bool simulated() const override { return true; }
  absl::StatusOr<std::vector<VmSummary>> ListVms() override {
    MutexLock lock(&mu_);
    return std::vector<VmSummary>{{vm_.uuid, vm_.name, vm_.power, {}}};
  }
  void OnChange(std::function<void()>) override {}
  absl::StatusOr<VmDescription> Describe(absl::string_view) override {
    MutexLock lock(&mu_);
    return vm_;
  }
  void SetFormat(const std::string& format) {
    MutexLock lock(&mu_);
    vm_.disks[0].format = format;
  }

  absl::Status StartExport(const ExportPlan& plan, const std::stop_token& /*stop*/) override {
    note("start");
    {
      MutexLock lock(&mu_);
      plans_.push_back(plan);
      known_ = plan.folder;
    }
    return on_start ? on_start() : absl::OkStatus();
  }
  absl::StatusOr<ExportStatus> GetExportStatus(const ExportPlan& plan) override {
    {
      MutexLock lock(&mu_);
      if (plan.folder != known_) return ExportStatus{};
    }
    return on_status ? on_status() : absl::StatusOr<ExportStatus>(Done());
  }
  absl::Status EndExport(const ExportPlan& plan) override {
    note("end");
    {
      MutexLock lock(&mu_);
      ended_.push_back(plan.folder);
    }
    return on_end ? on_end() : absl::OkStatus();
  }

 private:
  Mutex mu_;
  VmDescription vm_ ABSL_GUARDED_BY(mu_);
  std::string known_ ABSL_GUARDED_BY(mu_);
  std::vector<ExportPlan> plans_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> ended_ ABSL_GUARDED_BY(mu_);
};

}  // namespace vmkeep::executor::test

#endif  // VMKEEP_TESTS_UNIT_TASK_FAKE_EXPORTER_H_
