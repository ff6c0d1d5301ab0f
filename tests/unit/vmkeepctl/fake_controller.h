#ifndef VMKEEP_TESTS_UNIT_VMKEEPCTL_FAKE_CONTROLLER_H_
#define VMKEEP_TESTS_UNIT_VMKEEPCTL_FAKE_CONTROLLER_H_

#include "common/channel.h"
#include "common/mutex.h"
#include "vmkeep/v1/backup_service.grpc.pb.h"
#include "vmkeep/v1/inventory_service.grpc.pb.h"

#include "absl/status/status.h"
#include "absl/time/time.h"
#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vmkeep::ctl {

// What one call of WatchBackups does: sends the messages, then ends, or stays open until the client
// leaves.
struct WatchScript {
  std::vector<v1::WatchBackupsResponse> messages;
  absl::Status end;
  bool stays_open = false;
};

// A controller that answers from scripts, on a unix socket in a temporary folder. Its inventory
// begins with two hosts and a VM on an overlay. Thread-safe.
class FakeController final : public v1::BackupService::Service,
                             public v1::InventoryService::Service {
 public:
  FakeController();
  ~FakeController() override;
  std::string address() const;
  // Listens on loopback as well, with `tls`; answers the address. Restart() ends that.
  std::string ServeTls(const TlsFiles& tls);
  // Breaks every connection, is away for a moment, and comes back.
  void Restart();

  // The next calls fail with these, one each, before they come to anything else.
  void FailNext(const absl::Status& status);
  // What unary calls answer.
  void SetBackup(const v1::Backup& backup);
  void SetBackups(const std::vector<v1::Backup>& backups);
  void AddWatch(WatchScript script);
  // A page each.
  void SetHosts(const std::vector<v1::Host>& hosts);
  void SetVms(const std::vector<v1::Vm>& vms);
  void SetRepositories(const std::vector<v1::Repository>& repositories);
  // What a backup that is only validated says of its creation.
  void SetClock(absl::Time now);

  // Requests in the order in which they came.
  std::vector<v1::CreateBackupRequest> creates() const;
  std::vector<v1::ListBackupsRequest> lists() const;
  std::vector<v1::UpdateBackupRequest> updates() const;
  std::vector<v1::RetryBackupRequest> retries() const;
  std::vector<v1::UpdateHostRequest> host_updates() const;
  std::vector<v1::ListVmsRequest> vm_lists() const;
  std::vector<v1::WatchBackupsRequest> watches() const;
  // Waits until there were `count` watches and the messages of the last one are sent.
  void AwaitWatches(size_t count);

 private:
  void StartServer();

  using Context = grpc::ServerContext;
  grpc::Status CreateBackup(Context*, const v1::CreateBackupRequest*, v1::Backup*) override;
  grpc::Status GetBackup(Context*, const v1::GetBackupRequest*, v1::Backup*) override;
  grpc::Status ListBackups(Context*, const v1::ListBackupsRequest*,
                           v1::ListBackupsResponse*) override;
  grpc::Status UpdateBackup(Context*, const v1::UpdateBackupRequest*, v1::Backup*) override;
  grpc::Status RetryBackup(Context*, const v1::RetryBackupRequest*, v1::Backup*) override;
  grpc::Status WatchBackups(Context*, const v1::WatchBackupsRequest*,
                            grpc::ServerWriter<v1::WatchBackupsResponse>*) override;
  grpc::Status RegisterHost(Context*, const v1::RegisterHostRequest*, v1::Host*) override;
  grpc::Status ListHosts(Context*, const v1::ListHostsRequest*, v1::ListHostsResponse*) override;
  grpc::Status UpdateHost(Context*, const v1::UpdateHostRequest*, v1::Host*) override;
  grpc::Status DeleteHost(Context*, const v1::DeleteHostRequest*,
                          google::protobuf::Empty*) override;
  grpc::Status RegisterVm(Context*, const v1::RegisterVmRequest*, v1::Vm*) override;
  grpc::Status GetVm(Context*, const v1::GetVmRequest*, v1::Vm*) override;
  grpc::Status ListVms(Context*, const v1::ListVmsRequest*, v1::ListVmsResponse*) override;
  grpc::Status InitRepository(Context*, const v1::InitRepositoryRequest*, v1::Repository*) override;
  grpc::Status ListRepositories(Context*, const v1::ListRepositoriesRequest*,
                                v1::ListRepositoriesResponse*) override;

  // OK, or the next failure.
  grpc::Status NextFailure();

  const std::string folder_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<grpc::Server> tls_server_;
  mutable Mutex mu_;
  CondVar changed_;
  std::deque<absl::Status> failures_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::Backup> backups_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::Host> hosts_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::Vm> vms_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::Repository> repositories_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Time> now_ ABSL_GUARDED_BY(mu_);
  std::deque<WatchScript> scripts_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::CreateBackupRequest> creates_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::ListBackupsRequest> lists_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::UpdateBackupRequest> updates_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::RetryBackupRequest> retries_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::UpdateHostRequest> host_updates_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::ListVmsRequest> vm_lists_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::WatchBackupsRequest> watches_ ABSL_GUARDED_BY(mu_);
  size_t watches_sent_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TESTS_UNIT_VMKEEPCTL_FAKE_CONTROLLER_H_
