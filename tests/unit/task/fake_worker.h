#ifndef VMKEEP_TESTS_UNIT_TASK_FAKE_WORKER_H_
#define VMKEEP_TESTS_UNIT_TASK_FAKE_WORKER_H_

#include "common/mutex.h"
#include "executor/worker_client/worker_client.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <functional>
#include <string>
#include <vector>

namespace vmkeep::executor::test {

// A worker without a process or a repository: every job succeeds, unless the test says otherwise.
// Thread-safe once the hooks are set.
class FakeWorker final : public Worker {
 public:
  int64_t free_bytes = int64_t{1} << 40;
  std::string repository_id;  // that a probe finds which expects none
  std::function<void(const worker::v1::Request&)> on_request;  // before what the job does
  std::function<void()> on_probe;
  std::function<absl::Status()> on_probe_status;
  std::function<absl::Status(const std::stop_token&)> on_copy;
  std::function<absl::Status()> on_prepare;
  std::function<absl::Status(const std::stop_token&)> on_seal;
  std::function<absl::Status()> on_publish;
  std::function<absl::Status()> on_discard;

  std::vector<std::string> jobs() {
    MutexLock lock(&mu_);
    return jobs_;
  }

  absl::StatusOr<worker::v1::Result> Run(const worker::v1::Request& request, absl::Duration,
                                         absl::Duration, const std::stop_token& stop,
                                         const Hooks&) override {
    using Job = worker::v1::Request::JobCase;
    worker::v1::Result result;
    absl::Status status;
    if (on_request) on_request(request);
    switch (request.job_case()) {
      case Job::kProbe:
        Note("probe");
        if (on_probe) on_probe();
        if (on_probe_status) status = on_probe_status();
        result.mutable_probe()->set_id(request.probe().repository().id().empty()
                                           ? repository_id
                                           : request.probe().repository().id());
        result.mutable_probe()->set_free_bytes(free_bytes);
        break;
      case Job::kInitRepository:
        Note("init_repository");
        result.mutable_probe()->set_id(request.init_repository().repository().id());
        result.mutable_probe()->set_free_bytes(free_bytes);
        break;
      case Job::kCopy:
        Note("copy " + request.copy().file());
        if (on_copy) status = on_copy(stop);
        result.mutable_copy()->set_file_bytes(1 << 20);
        break;
      case Job::kPrepareExport:
        Note("prepare_export");
        if (on_prepare) status = on_prepare();
        result.mutable_prepare_export()->set_folder(ExportFolder(request.prepare_export()));
        break;
      case Job::kSealExport:
        Note("seal_export");
        if (on_seal) status = on_seal(stop);
        *result.mutable_seal_export() = Sealed(request.seal_export());
        break;
      case Job::kPublish:
        Note("publish");
        if (on_publish) status = on_publish();
        result.mutable_publish()->set_manifest_sha256("00");
        break;
      case Job::kDiscard:
        Note("discard");
        if (on_discard) status = on_discard();
        result.mutable_remove();
        break;
      case Job::kScrub:
        Note("scrub");
        result.mutable_remove();
        break;
      default:
        status = absl::UnimplementedError("no such job");
    }
    if (!status.ok()) return status;
    return result;
  }

 private:
  static std::string ExportFolder(const worker::v1::PrepareExport& job) {
    return "//nas/backup/" + job.incoming() + "/.export";
  }
  // Every image where Hyper-V puts it, and one file with the definition.
  static worker::v1::SealExportResult Sealed(const worker::v1::SealExport& job) {
    worker::v1::SealExportResult result;
    const auto add_file = [&result](const std::string& file, const std::string& role) {
      manifest::v1::File& added = *result.add_files();
      added.set_file("export/" + file);
      added.set_role(role);
      added.set_bytes(1 << 10);
    };
    add_file("Virtual Machines/vm.vmcx", "export");
    for (const worker::v1::ExportedDisk& disk : job.disks()) {
      worker::v1::SealedDisk& sealed = *result.add_disks();
      sealed.set_target(disk.target());
      sealed.set_file("export/Virtual Hard Disks/" + disk.file());
      sealed.mutable_copy()->set_file_bytes(1 << 20);
      sealed.mutable_copy()->set_data_bytes(1 << 19);
      sealed.mutable_copy()->mutable_digest()->set_root("root of " + disk.target());
      for (const std::string& parent : disk.parents()) {
        add_file("Virtual Hard Disks/" + parent, "parent");
      }
    }
    return result;
  }

  void Note(const std::string& job) {
    MutexLock lock(&mu_);
    jobs_.push_back(job);
  }

  Mutex mu_;
  std::vector<std::string> jobs_ ABSL_GUARDED_BY(mu_);
};

}  // namespace vmkeep::executor::test

#endif  // VMKEEP_TESTS_UNIT_TASK_FAKE_WORKER_H_
