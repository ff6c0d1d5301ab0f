#ifndef VMKEEP_TESTS_INTEGRATION_CONTROLLER_CONTROLLER_FIXTURE_H_
#define VMKEEP_TESTS_INTEGRATION_CONTROLLER_CONTROLLER_FIXTURE_H_

#include "common/error.h"
#include "common/grpc_status.h"
#include "common/mutex.h"
#include "controller/app.h"
#include "tests/fakes/fake_executor_client.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "vmkeep/v1/backup_service.grpc.pb.h"
#include "vmkeep/v1/inventory_service.grpc.pb.h"

#include "absl/status/statusor.h"
#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace vmkeep::test {

namespace pb = ::vmkeep::v1;

// A controller as in production - server on a unix socket, SQLite store, scheduler, links - with
// scripted hosts and short delays. Nothing sleeps: a test waits for what it expects by watching.
class ControllerTest : public ::testing::Test {
 public:
  ~ControllerTest() override;

 protected:
  ControllerTest();

  // A host with one VM per name (UUIDs by VmUuid), both repositories healthy. Registered over the
  // API when `now`.
  FakeExecutor& AddHost(const std::string& id, const std::vector<std::string>& vms = {},
                        bool now = true);
  // The executor that answers for a host.
  FakeExecutor& host(const std::string& id);
  // From now on this one answers at the host's address.
  void Replace(const std::string& id, std::shared_ptr<FakeExecutor> executor);
  static std::string VmUuid(const std::string& name);

  void StartController();
  void StopController();
  void Reconnect();  // a new channel to the same socket

  // Calls. The status has the details that came over the wire.
  absl::StatusOr<pb::Backup> Create(const std::string& vm, const std::string& name,
                                    const std::function<void(pb::CreateBackupRequest&)>& more = {});
  absl::StatusOr<pb::Backup> Create(const pb::CreateBackupRequest& request);
  absl::StatusOr<pb::Backup> Get(const std::string& id);
  absl::StatusOr<pb::Backup> Scrub(const std::string& id);
  absl::StatusOr<pb::Backup> Update(const pb::UpdateBackupRequest& request);
  absl::StatusOr<pb::ListBackupsResponse> List(const pb::ListBackupsRequest& request);
  absl::StatusOr<pb::Host> Register(const std::string& id, const std::string& address);

  // The backup when `good` first holds, as a watcher sees it; fails the test after 30 s.
  pb::Backup Await(const std::string& id, const std::function<bool(const pb::Backup&)>& good);
  pb::Backup AwaitState(const std::string& id, pb::Backup::State state);
  pb::Backup AwaitCondition(const std::string& id, const std::string& type);
  void AwaitHost(const std::string& id, pb::Host::Availability availability);
  // A host and its VM are known: Create would find it.
  void AwaitVm(const std::string& name);
  // For what no watch shows: asks again until it holds.
  static void AwaitTrue(const std::function<bool()>& holds, const std::string& what);

  // Runs `call` with a context that has a deadline.
  template <typename Response, typename Call>
  absl::StatusOr<Response> Do(Call call) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    Response response;
    const grpc::Status status = call(&context, &response);
    if (!status.ok()) return FromGrpcStatus(status);
    return response;
  }

  TempDir dir_;
  controller::Options options_;
  controller::HostLinkOptions links_;
  controller::SchedulerOptions scheduler_;
  Mutex hosts_mu_;
  std::map<std::string, std::shared_ptr<FakeExecutor>> hosts_ ABSL_GUARDED_BY(hosts_mu_);
  std::unique_ptr<controller::App> app_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<pb::BackupService::Stub> backups_;
  std::unique_ptr<pb::InventoryService::Stub> inventory_;
};

MATCHER_P(InState, state, "is in state " + pb::Backup::State_Name(state)) {
  *result_listener << "which is " << pb::Backup::State_Name(arg.state());
  return arg.state() == state;
}
bool HasCondition(const pb::Backup& backup, const std::string& type);

}  // namespace vmkeep::test

#endif  // VMKEEP_TESTS_INTEGRATION_CONTROLLER_CONTROLLER_FIXTURE_H_
