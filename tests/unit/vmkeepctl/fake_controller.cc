#include "tests/unit/vmkeepctl/fake_controller.h"

#include "common/channel.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/grpc_status.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <utility>

namespace vmkeep::ctl {
namespace {

std::string MakeTempDir() {
  // Not below TEST_TMPDIR: a socket's path has at most 107 bytes.
  std::string path = "/tmp/vmkeepctl-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) std::abort();
  return path;
}

}  // namespace

FakeController::FakeController() : folder_(MakeTempDir()) { StartServer(); }

void FakeController::Restart() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_.reset();
  // Away long enough for a client to notice.
  RealClock().WaitFor(absl::Milliseconds(500), {});
  StartServer();
}

void FakeController::StartServer() {
  grpc::ServerBuilder builder;
  const absl::Status added = AddListener(builder, address(), {});
  EXPECT_TRUE(added.ok()) << added;
  builder.RegisterService(static_cast<v1::BackupService::Service*>(this));
  builder.RegisterService(static_cast<v1::InventoryService::Service*>(this));
  server_ = builder.BuildAndStart();
  EXPECT_NE(server_, nullptr);
}

FakeController::~FakeController() {
  server_->Shutdown(std::chrono::system_clock::now());
  std::filesystem::remove_all(folder_);
}

std::string FakeController::address() const { return absl::StrCat("unix:", folder_, "/s"); }

void FakeController::FailNext(const absl::Status& status) {
  MutexLock lock(&mu_);
  failures_.push_back(status);
}

void FakeController::SetBackup(const v1::Backup& backup) { SetBackups({backup}); }

void FakeController::SetBackups(const std::vector<v1::Backup>& backups) {
  MutexLock lock(&mu_);
  backups_ = backups;
}

void FakeController::AddWatch(WatchScript script) {
  MutexLock lock(&mu_);
  scripts_.push_back(std::move(script));
}

std::vector<v1::CreateBackupRequest> FakeController::creates() const {
  MutexLock lock(&mu_);
  return creates_;
}

std::vector<v1::ListBackupsRequest> FakeController::lists() const {
  MutexLock lock(&mu_);
  return lists_;
}

std::vector<v1::UpdateBackupRequest> FakeController::updates() const {
  MutexLock lock(&mu_);
  return updates_;
}

std::vector<v1::WatchBackupsRequest> FakeController::watches() const {
  MutexLock lock(&mu_);
  return watches_;
}

void FakeController::AwaitWatches(size_t count) {
  MutexLock lock(&mu_);
  while (watches_sent_ < count) changed_.Wait(&mu_);
}

grpc::Status FakeController::NextFailure() {
  MutexLock lock(&mu_);
  if (failures_.empty()) return grpc::Status::OK;
  const absl::Status status = failures_.front();
  failures_.pop_front();
  return ToGrpcStatus(status);
}

grpc::Status FakeController::CreateBackup(Context*, const v1::CreateBackupRequest* request,
                                          v1::Backup* backup) {
  {
    MutexLock lock(&mu_);
    creates_.push_back(*request);
  }
  if (grpc::Status failure = NextFailure(); !failure.ok()) return failure;
  MutexLock lock(&mu_);
  *backup = backups_.at(0);
  backup->set_vm_id(request->vm_id());
  backup->set_name(request->name());
  return grpc::Status::OK;
}

grpc::Status FakeController::GetBackup(Context*, const v1::GetBackupRequest* request,
                                       v1::Backup* backup) {
  if (grpc::Status failure = NextFailure(); !failure.ok()) return failure;
  MutexLock lock(&mu_);
  for (const v1::Backup& one : backups_) {
    if (one.id() == request->id()) {
      *backup = one;
      return grpc::Status::OK;
    }
  }
  return ToGrpcStatus(MakeError(absl::StatusCode::kNotFound, "BACKUP_NOT_FOUND",
                                absl::StrCat("there is no backup ", request->id()),
                                {{"backup_id", request->id()}}));
}

grpc::Status FakeController::ListBackups(Context*, const v1::ListBackupsRequest* request,
                                         v1::ListBackupsResponse* response) {
  if (grpc::Status failure = NextFailure(); !failure.ok()) return failure;
  MutexLock lock(&mu_);
  lists_.push_back(*request);
  size_t begin = 0;
  if (!request->page_token().empty() && !absl::SimpleAtoi(request->page_token(), &begin)) {
    return ToGrpcStatus(InvalidArgument("page_token", "not one of ours"));
  }
  const size_t end = std::min(backups_.size(), begin + static_cast<size_t>(request->page_size()));
  for (size_t i = begin; i < end; ++i) *response->add_backups() = backups_[i];
  if (end < backups_.size()) response->set_next_page_token(absl::StrCat(end));
  return grpc::Status::OK;
}

grpc::Status FakeController::UpdateBackup(Context*, const v1::UpdateBackupRequest* request,
                                          v1::Backup* backup) {
  {
    MutexLock lock(&mu_);
    updates_.push_back(*request);
    *backup = backups_.at(0);
  }
  if (request->has_state()) backup->set_state(request->state());
  return NextFailure();
}

grpc::Status FakeController::WatchBackups(Context* context, const v1::WatchBackupsRequest* request,
                                          grpc::ServerWriter<v1::WatchBackupsResponse>* writer) {
  WatchScript script;
  {
    MutexLock lock(&mu_);
    watches_.push_back(*request);
    if (scripts_.empty()) return {grpc::StatusCode::INTERNAL, "no script", "has details"};
    script = std::move(scripts_.front());
    scripts_.pop_front();
  }
  for (const v1::WatchBackupsResponse& message : script.messages) writer->Write(message);
  {
    MutexLock lock(&mu_);
    watches_sent_ = watches_.size();
    changed_.NotifyAll();
  }
  while (script.stays_open && !context->IsCancelled())
    RealClock().WaitFor(absl::Milliseconds(10), {});
  return ToGrpcStatus(script.end);
}

grpc::Status FakeController::RegisterHost(Context*, const v1::RegisterHostRequest* request,
                                          v1::Host* host) {
  if (grpc::Status failure = NextFailure(); !failure.ok()) return failure;
  host->set_id(request->id());
  host->set_address(request->address());
  return grpc::Status::OK;
}

grpc::Status FakeController::ListHosts(Context*, const v1::ListHostsRequest* request,
                                       v1::ListHostsResponse* response) {
  // Two pages.
  const bool first = request->page_token().empty();
  v1::Host* host = response->add_hosts();
  host->set_id(first ? "kvm-1" : "kvm-2");
  host->set_address(first ? "unix:/run/x" : "kvm-2:7000");
  host->set_availability(first ? v1::Host::ONLINE : v1::Host::UNREACHABLE);
  host->set_message(first ? "" : "connection refused\x1b[31m");
  if (first) response->set_next_page_token("2");
  return grpc::Status::OK;
}

grpc::Status FakeController::ListVms(Context*, const v1::ListVmsRequest*,
                                     v1::ListVmsResponse* response) {
  v1::Vm* vm = response->add_vms();
  vm->set_id("web-1");
  vm->set_uuid("6f0f5b1e-0000-4000-8000-000000000001");
  vm->set_name("web");
  vm->set_host_id("kvm-1");
  vm->set_power_state(v1::Vm::ON);
  vm->mutable_overlay()->set_bytes(3 << 20);
  vm->mutable_overlay()->mutable_since()->set_seconds(1'764'000'000);
  vm->mutable_overlay()->set_needs_attention(true);
  vm->mutable_overlay()->set_remedy("merge it by hand");
  return grpc::Status::OK;
}

grpc::Status FakeController::InitRepository(Context*, const v1::InitRepositoryRequest* request,
                                            v1::Repository* repository) {
  if (!request->allow_plain_directory()) {
    return ToGrpcStatus(MakeError(absl::StatusCode::kFailedPrecondition, "NOT_A_MOUNT_POINT",
                                  "/mnt/backup-s is no mount point: mount it first"));
  }
  repository->set_id("r1");
  repository->set_host_id(request->host_id());
  repository->set_slot(request->slot());
  repository->set_path("/mnt/backup-s");
  repository->set_health(v1::Repository::HEALTHY);
  repository->set_free_bytes(1LL << 40);
  repository->set_total_bytes(2LL << 40);
  return grpc::Status::OK;
}

grpc::Status FakeController::ListRepositories(Context*, const v1::ListRepositoriesRequest*,
                                              v1::ListRepositoriesResponse*) {
  return grpc::Status::OK;
}

}  // namespace vmkeep::ctl
