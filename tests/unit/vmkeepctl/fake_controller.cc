#include "tests/unit/vmkeepctl/fake_controller.h"

#include "common/channel.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/grpc_status.h"

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
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

std::vector<v1::Host> TwoHosts() {
  std::vector<v1::Host> hosts(2);
  hosts[0].set_id("kvm-1");
  hosts[0].set_address("unix:/run/x");
  hosts[0].set_availability(v1::Host::ONLINE);
  hosts[1].set_id("kvm-2");
  hosts[1].set_address("kvm-2:7000");
  hosts[1].set_availability(v1::Host::UNREACHABLE);
  hosts[1].set_message("connection refused\x1b[31m");
  return hosts;
}

v1::Vm VmOnOverlay() {
  v1::Vm vm;
  vm.set_id("web-1");
  vm.set_uuid("6f0f5b1e-0000-4000-8000-000000000001");
  vm.set_name("web");
  vm.set_host_id("kvm-1");
  vm.set_power_state(v1::Vm::ON);
  vm.mutable_overlay()->set_bytes(3 << 20);
  vm.mutable_overlay()->mutable_since()->set_seconds(1'764'000'000);
  vm.mutable_overlay()->set_needs_attention(true);
  vm.mutable_overlay()->set_remedy("merge it by hand");
  vm.mutable_overlay()->set_reason("MERGE_FAILED");
  vm.mutable_overlay()->set_message("no space left");
  vm.mutable_overlay()->set_backup_id("b7");
  vm.mutable_overlay()->add_files("/var/a.vmkeep");
  vm.mutable_overlay()->add_files("/var/b.vmkeep");
  return vm;
}

// Where a page begins by its token, which is an index.
absl::StatusOr<size_t> PageBegin(const std::string& token) {
  size_t begin = 0;
  if (token.empty() || absl::SimpleAtoi(token, &begin)) return begin;
  return InvalidArgument("page_token", "not one of ours");
}

grpc::Status NotFound(const std::string& kind, const std::string& id) {
  return ToGrpcStatus(
      MakeError(absl::StatusCode::kNotFound, kind + "_NOT_FOUND",
                absl::StrCat("there is no ", absl::AsciiStrToLower(kind), " ", id)));
}

}  // namespace

FakeController::FakeController()
    : folder_(MakeTempDir()), hosts_(TwoHosts()), vms_({VmOnOverlay()}) {
  StartServer();
}

void FakeController::Restart() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_.reset();
  // Away long enough for a client to notice.
  RealClock().WaitFor(absl::Milliseconds(500), {});
  StartServer();
}

std::string FakeController::ServeTls(const TlsFiles& tls) {
  grpc::ServerBuilder builder;
  int port = 0;
  const absl::Status added = AddListener(builder, "127.0.0.1:0", tls, &port);
  EXPECT_TRUE(added.ok()) << added;
  builder.RegisterService(static_cast<v1::BackupService::Service*>(this));
  builder.RegisterService(static_cast<v1::InventoryService::Service*>(this));
  tls_server_ = builder.BuildAndStart();
  EXPECT_NE(tls_server_, nullptr);
  return absl::StrCat("127.0.0.1:", port);
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
  if (tls_server_ != nullptr) tls_server_->Shutdown(std::chrono::system_clock::now());
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

void FakeController::SetHosts(const std::vector<v1::Host>& hosts) {
  MutexLock lock(&mu_);
  hosts_ = hosts;
}

void FakeController::SetVms(const std::vector<v1::Vm>& vms) {
  MutexLock lock(&mu_);
  vms_ = vms;
}

void FakeController::SetRepositories(const std::vector<v1::Repository>& repositories) {
  MutexLock lock(&mu_);
  repositories_ = repositories;
}

void FakeController::SetClock(absl::Time now) {
  MutexLock lock(&mu_);
  now_ = now;
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

std::vector<v1::RetryBackupRequest> FakeController::retries() const {
  MutexLock lock(&mu_);
  return retries_;
}

std::vector<v1::UpdateHostRequest> FakeController::host_updates() const {
  MutexLock lock(&mu_);
  return host_updates_;
}

std::vector<v1::ListVmsRequest> FakeController::vm_lists() const {
  MutexLock lock(&mu_);
  return vm_lists_;
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
  if (!backups_.empty()) *backup = backups_[0];
  backup->set_vm_id(request->vm_id());
  backup->set_name(request->name());
  if (request->validate_only() && now_.has_value())
    backup->mutable_create_time()->set_seconds(absl::ToUnixSeconds(*now_));
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
  const absl::StatusOr<size_t> begin = PageBegin(request->page_token());
  if (!begin.ok()) return ToGrpcStatus(begin.status());
  const size_t end = std::min(backups_.size(), *begin + static_cast<size_t>(request->page_size()));
  for (size_t i = *begin; i < end; ++i) *response->add_backups() = backups_[i];
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

grpc::Status FakeController::RetryBackup(Context*, const v1::RetryBackupRequest* request,
                                         v1::Backup* backup) {
  if (grpc::Status failure = NextFailure(); !failure.ok()) return failure;
  MutexLock lock(&mu_);
  retries_.push_back(*request);
  for (v1::Backup& one : backups_) {
    if (one.id() != request->id()) continue;
    one.set_state(v1::Backup::REQUESTED);
    *backup = one;
    return grpc::Status::OK;
  }
  return NotFound("BACKUP", request->id());
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
  if (grpc::Status failure = NextFailure(); !failure.ok()) return failure;
  MutexLock lock(&mu_);
  const absl::StatusOr<size_t> begin = PageBegin(request->page_token());
  if (!begin.ok()) return ToGrpcStatus(begin.status());
  // One a page: a client that forgets the next one is caught.
  if (*begin < hosts_.size()) *response->add_hosts() = hosts_[*begin];
  if (*begin + 1 < hosts_.size()) response->set_next_page_token(absl::StrCat(*begin + 1));
  return grpc::Status::OK;
}

grpc::Status FakeController::UpdateHost(Context*, const v1::UpdateHostRequest* request,
                                        v1::Host* host) {
  if (grpc::Status failure = NextFailure(); !failure.ok()) return failure;
  MutexLock lock(&mu_);
  host_updates_.push_back(*request);
  for (v1::Host& one : hosts_) {
    if (one.id() != request->id()) continue;
    if (request->has_draining()) one.set_draining(request->draining());
    if (request->has_executor_id()) one.set_executor_id(request->executor_id());
    *host = one;
    return grpc::Status::OK;
  }
  return NotFound("HOST", request->id());
}

grpc::Status FakeController::DeleteHost(Context*, const v1::DeleteHostRequest* request,
                                        google::protobuf::Empty*) {
  if (grpc::Status failure = NextFailure(); !failure.ok()) return failure;
  MutexLock lock(&mu_);
  const size_t deleted =
      std::erase_if(hosts_, [request](const v1::Host& host) { return host.id() == request->id(); });
  return deleted > 0 ? grpc::Status::OK : NotFound("HOST", request->id());
}

grpc::Status FakeController::RegisterVm(Context*, const v1::RegisterVmRequest* request,
                                        v1::Vm* vm) {
  if (grpc::Status failure = NextFailure(); !failure.ok()) return failure;
  vm->set_id(request->id());
  vm->set_uuid(request->uuid());
  MutexLock lock(&mu_);
  vms_.push_back(*vm);
  return grpc::Status::OK;
}

grpc::Status FakeController::GetVm(Context*, const v1::GetVmRequest* request, v1::Vm* vm) {
  if (grpc::Status failure = NextFailure(); !failure.ok()) return failure;
  MutexLock lock(&mu_);
  for (const v1::Vm& one : vms_) {
    if (one.id() != request->id() && one.uuid() != request->id() && one.name() != request->id())
      continue;
    *vm = one;
    return grpc::Status::OK;
  }
  return NotFound("VM", request->id());
}

grpc::Status FakeController::ListVms(Context*, const v1::ListVmsRequest* request,
                                     v1::ListVmsResponse* response) {
  if (grpc::Status failure = NextFailure(); !failure.ok()) return failure;
  MutexLock lock(&mu_);
  vm_lists_.push_back(*request);
  for (const v1::Vm& vm : vms_) {
    if (!request->on_overlay() || vm.has_overlay()) *response->add_vms() = vm;
  }
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
                                              v1::ListRepositoriesResponse* response) {
  if (grpc::Status failure = NextFailure(); !failure.ok()) return failure;
  MutexLock lock(&mu_);
  response->mutable_repositories()->Assign(repositories_.begin(), repositories_.end());
  return grpc::Status::OK;
}

}  // namespace vmkeep::ctl
