#ifndef VMKEEP_TESTS_INTEGRATION_CONTROLLER_END_TO_END_FIXTURE_H_
#define VMKEEP_TESTS_INTEGRATION_CONTROLLER_END_TO_END_FIXTURE_H_

#include "common/clock.h"
#include "common/process/process.h"
#include "tests/integration/executor/executor_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "vmkeep/v1/backup_service.grpc.pb.h"
#include "vmkeep/v1/inventory_service.grpc.pb.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

// The real vmkeep-controller, vmkeep-executor and vmkeep-worker on the simulated hypervisor: what a
// client of the public API sees, and what then lies on the disks.
namespace vmkeep::test {

namespace pb = ::vmkeep::v1;

inline constexpr absl::Duration kPatience = absl::Seconds(60);

class EndToEndTest : public ::testing::Test {
 protected:
  EndToEndTest() {
    executor_.Start();
    StartController();
    RegisterHost();
  }

  std::vector<std::string> ControllerArgv() const {
    return {absl::StrCat(VMKEEP_BIN, "/vmkeep-controller"), "--listen=" + Address(),
            "--state_dir=" + folder_.path("state")};
  }
  std::string Address() const { return "unix:" + folder_.path("controller.sock"); }

  void StartController() {
    auto spawned = process::Spawn({.argv = ControllerArgv(), .with_stdin = false});
    ASSERT_THAT(spawned, IsOk());
    controller_ = *std::move(spawned);
    // gRPC shares connections between channels to one address: without a pool of its own this one
    // would begin with the dead connection to the controller that was killed.
    grpc::ChannelArguments own;
    own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const auto channel =
        grpc::CreateCustomChannel(Address(), grpc::InsecureChannelCredentials(), own);
    ASSERT_TRUE(channel->WaitForConnected(std::chrono::system_clock::now() +
                                          absl::ToChronoSeconds(kPatience)));
    backups_ = pb::BackupService::NewStub(channel);
    inventory_ = pb::InventoryService::NewStub(channel);
  }
  void KillController() {
    controller_->Kill();
    ASSERT_TRUE(controller_->Wait(kPatience).has_value());
  }

  static void SetDeadline(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoSeconds(kPatience));
  }

  void RegisterHost() {
    grpc::ClientContext context;
    SetDeadline(context);
    pb::RegisterHostRequest request;
    request.set_id("kvm-1");
    request.set_address(executor_.address());
    pb::Host host;
    const grpc::Status status = inventory_->RegisterHost(&context, request, &host);
    ASSERT_TRUE(status.ok()) << status.error_message();
    AwaitOnline();
  }
  void AwaitOnline() {
    const absl::Duration until = RealClock().Monotonic() + kPatience;
    pb::Host host;
    do {
      grpc::ClientContext context;
      SetDeadline(context);
      pb::GetHostRequest request;
      request.set_id("kvm-1");
      ASSERT_TRUE(inventory_->GetHost(&context, request, &host).ok());
      (void)RealClock().WaitFor(absl::Milliseconds(10), {});
    } while (host.availability() != pb::Host::ONLINE && RealClock().Monotonic() < until);
    ASSERT_EQ(host.availability(), pb::Host::ONLINE) << host.message();
  }

  pb::Backup Create(const std::string& name) {
    grpc::ClientContext context;
    SetDeadline(context);
    pb::CreateBackupRequest request;
    request.set_vm_id(kVmName);
    request.set_name(name);
    request.set_repository(1);
    pb::Backup backup;
    const grpc::Status status = backups_->CreateBackup(&context, request, &backup);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return backup;
  }
  void Scrub(const std::string& id) {
    grpc::ClientContext context;
    SetDeadline(context);
    pb::UpdateBackupRequest request;
    request.set_id(id);
    request.set_state(pb::Backup::SCRUB);
    pb::Backup backup;
    const grpc::Status status = backups_->UpdateBackup(&context, request, &backup);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  pb::Backup Await(const std::string& id, const std::function<bool(const pb::Backup&)>& good) {
    grpc::ClientContext context;
    SetDeadline(context);
    pb::WatchBackupsRequest request;
    request.mutable_filter()->add_ids(id);
    request.mutable_filter()->set_show_closed(true);
    const auto reader = backups_->WatchBackups(&context, request);
    pb::WatchBackupsResponse response;
    pb::Backup last;
    while (reader->Read(&response)) {
      if (!response.has_backup()) continue;
      last = response.backup();
      if (!good(last)) continue;
      context.TryCancel();
      return last;
    }
    ADD_FAILURE() << reader->Finish().error_message() << "; last: " << last.DebugString();
    return last;
  }
  pb::Backup AwaitState(const std::string& id, pb::Backup::State state) {
    return Await(id, [&](const pb::Backup& backup) { return backup.state() == state; });
  }
  // A gated copy is under way, and the snapshot before it is recorded: nothing more is written of
  // the backup before its gate is opened.
  pb::Backup AwaitCopying(const std::string& id) {
    return Await(id, [](const pb::Backup& backup) {
      return backup.progress().phase() == pb::Progress::COPYING && backup.has_time_valid();
    });
  }

  exec::BackupSpec SpecOf(const pb::Backup& backup) const {
    exec::BackupSpec spec;
    spec.set_backup_id(backup.id());
    spec.set_vm_uuid(backup.vm_uuid());
    spec.set_repository(backup.repository());
    return spec;
  }
  std::vector<std::string> Disks() const {
    return {ReadFile(executor_.DiskPath("vda")), ReadFile(executor_.DiskPath("vdb"))};
  }
  bool IsPublished(const pb::Backup& backup) const {
    return std::filesystem::exists(executor_.PublishedFolder(SpecOf(backup)));
  }

  TempDir folder_;
  ExecutorProcess executor_;
  std::unique_ptr<process::ChildProcess> controller_;
  std::unique_ptr<pb::BackupService::Stub> backups_;
  std::unique_ptr<pb::InventoryService::Stub> inventory_;
};

}  // namespace vmkeep::test

#endif  // VMKEEP_TESTS_INTEGRATION_CONTROLLER_END_TO_END_FIXTURE_H_
