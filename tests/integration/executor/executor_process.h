#ifndef VMKEEP_TESTS_INTEGRATION_EXECUTOR_EXECUTOR_PROCESS_H_
#define VMKEEP_TESTS_INTEGRATION_EXECUTOR_EXECUTOR_PROCESS_H_

#include "common/process/process.h"
#include "tests/support/temp_dir.h"
#include "vmkeep/executor/v1/executor_service.grpc.pb.h"
#include "vmkeep/manifest/v1/manifest.pb.h"

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include <grpcpp/channel.h>
#include <grpcpp/support/status.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace vmkeep::test {

namespace exec = ::vmkeep::executor::v1;

inline constexpr char kVmName[] = "web-1";

// A vmkeep-executor with simulated VMs (web-1 with two disks of 64 MiB, db-1 with one) and two
// initialised repositories, below one folder. Killed at the end of the scope.
class ExecutorProcess {
 public:
  ExecutorProcess();

  // Starts the process and waits until it answers; makes the repositories unless told not to.
  void Start(std::vector<std::string> flags = {}, bool init_repositories = true);
  void Kill();                 // -9
  process::ExitStatus Stop();  // SIGTERM, then waits for its end
  // Starts another one on the same state; its end and what it said.
  process::RunResult StartSecond();

  grpc::Channel& channel() { return *channel_; }
  exec::ExecutorService::Stub& stub() { return *stub_; }
  std::string address() const;

  // Holds the worker's jobs whose request contains `text`, such as "disk-vdb"; "" lets them go.
  void SetGate(const std::string& text);

  // A backup of web-1 (or another) to repository 1 that has not been asked for yet.
  exec::StartTaskRequest NewBackup(const std::string& vm_name = kVmName);
  exec::StartTaskRequest NewScrub(const exec::StartTaskRequest& backup);
  grpc::Status StartTask(const exec::StartTaskRequest& request,
                         exec::StartTaskResponse* response = nullptr);
  grpc::Status Cancel(const exec::TaskRef& task, bool* known = nullptr);

  // Events after `sequence`, until `enough` says so; fails the test after 60 s.
  using Enough = std::function<bool(const exec::Event&)>;
  std::vector<exec::Event> ReadEvents(int64_t sequence, const Enough& enough);
  // Events until the task ended; the last one is that.
  std::vector<exec::Event> ReadToEnd(const exec::TaskRef& task, int64_t sequence = 0);
  exec::TaskEnded ReadEnd(const exec::TaskRef& task);

  exec::Inventory Inventory();

  // Where the files are.
  std::string repository(int slot) const;
  std::string PublishedFolder(const exec::BackupSpec& spec) const;
  std::string DiskPath(const std::string& target, const std::string& vm_name = kVmName) const;
  std::string VmFile(const std::string& vm_name = kVmName) const;  // vm.json
  // Fails the test unless all files of the published backup are as its manifest and lists say, and
  // the disks are `disks`, byte for byte.
  vmkeep::manifest::v1::Manifest VerifyBackup(const exec::BackupSpec& spec,
                                              const std::vector<std::string>& disks);
  // What lies in the repositories' work folders, and overlays anywhere: all of it should be gone.
  std::vector<std::string> Leftovers() const;
  std::string path(const std::string& name) const { return folder_.path(name); }

 private:
  std::vector<std::string> Argv(std::vector<std::string> flags) const;
  void Connect();
  void InitRepositories();

  TempDir folder_;
  std::unique_ptr<process::ChildProcess> process_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<exec::ExecutorService::Stub> stub_;
  std::string repository_ids_[3];
};

}  // namespace vmkeep::test

#endif  // VMKEEP_TESTS_INTEGRATION_EXECUTOR_EXECUTOR_PROCESS_H_
