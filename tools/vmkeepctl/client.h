#ifndef VMKEEP_TOOLS_VMKEEPCTL_CLIENT_H_
#define VMKEEP_TOOLS_VMKEEPCTL_CLIENT_H_

#include "common/channel.h"
#include "common/queue.h"
#include "vmkeep/v1/backup_service.grpc.pb.h"
#include "vmkeep/v1/inventory_service.grpc.pb.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include <grpcpp/client_context.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace vmkeep::ctl {

struct ClientOptions {
  std::string server;
  TlsFiles tls;
  // For the whole command. Without it a unary call has 30 s and a watch has no end.
  std::optional<absl::Duration> timeout;
};

// One message of a watch, or its end.
struct WatchEvent {
  std::optional<v1::WatchBackupsResponse> message;
  absl::Status end;  // of the stream; when there is no message
};

// An open watch. Reads the next message only after the last one was taken, so a slow reader makes
// the controller coalesce instead of filling our memory. For one thread.
class WatchStream final : private grpc::ClientReadReactor<v1::WatchBackupsResponse> {
 public:
  WatchStream(v1::BackupService::Stub& stub, v1::WatchBackupsRequest request, absl::Time deadline);
  // Cancels a stream that has not ended and waits for its end.
  ~WatchStream() override;
  WatchStream(const WatchStream&) = delete;
  WatchStream& operator=(const WatchStream&) = delete;

  // The next event, or nothing after `timeout`. Not to be called after an end. Statuses are those
  // of gRPC.
  std::optional<WatchEvent> Next(absl::Duration timeout);

 private:
  using Events = Queue<WatchEvent>;

  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  grpc::ClientContext context_;
  const v1::WatchBackupsRequest request_;
  v1::WatchBackupsResponse incoming_;  // written by gRPC between StartRead and OnReadDone
  // Shared, so that OnDone may still be inside Push when the reader destroys us.
  const std::shared_ptr<Events> events_ = std::make_shared<Events>();
  bool ended_ = false;
};

// The controller, as the commands see it. A status without the controller's own reason is one of
// error.h: CONTROLLER_UNREACHABLE, CONTROLLER_TOO_OLD, TIMED_OUT, or INTERRUPTED when
// WasInterrupted() turned true during a call. For one thread.
class Client {
 public:
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const ClientOptions& options);

  absl::StatusOr<v1::Host> RegisterHost(const v1::RegisterHostRequest& request);
  absl::StatusOr<v1::Host> GetHost(const v1::GetHostRequest& request);
  absl::StatusOr<v1::ListHostsResponse> ListHosts(const v1::ListHostsRequest& request);
  absl::StatusOr<v1::Host> UpdateHost(const v1::UpdateHostRequest& request);
  absl::StatusOr<google::protobuf::Empty> DeleteHost(const v1::DeleteHostRequest& request);
  absl::StatusOr<v1::Vm> RegisterVm(const v1::RegisterVmRequest& request);
  absl::StatusOr<v1::Vm> GetVm(const v1::GetVmRequest& request);
  absl::StatusOr<v1::ListVmsResponse> ListVms(const v1::ListVmsRequest& request);
  absl::StatusOr<v1::Repository> InitRepository(const v1::InitRepositoryRequest& request);
  absl::StatusOr<v1::ListRepositoriesResponse> ListRepositories(
      const v1::ListRepositoriesRequest& request);

  // Tries again on UNAVAILABLE, up to 5 times within the deadline: the request must carry a
  // request_id.
  absl::StatusOr<v1::Backup> CreateBackup(const v1::CreateBackupRequest& request);
  absl::StatusOr<v1::Backup> GetBackup(const v1::GetBackupRequest& request);
  absl::StatusOr<v1::ListBackupsResponse> ListBackups(const v1::ListBackupsRequest& request);
  absl::StatusOr<v1::Backup> UpdateBackup(const v1::UpdateBackupRequest& request);
  absl::StatusOr<v1::Backup> RetryBackup(const v1::RetryBackupRequest& request);

  std::unique_ptr<WatchStream> Watch(const v1::WatchBackupsRequest& request);
  // What a stream's status means for the user; Watch() gives them raw, because a broken stream may
  // be resumed.
  absl::Status Explain(const absl::Status& status) const;
  absl::Time deadline() const { return deadline_; }
  const ClientOptions& options() const { return options_; }
  // PEM of the certificate that the controller showed in the last call; empty without TLS.
  const std::string& server_certificate() const { return server_certificate_; }

  // Waits; INTERRUPTED or TIMED_OUT when that comes first.
  absl::Status Sleep(absl::Duration duration) const;

 private:
  template <typename Response>
  using Start =
      std::function<void(grpc::ClientContext*, Response*, std::function<void(grpc::Status)>)>;

  Client(const ClientOptions& options, const std::shared_ptr<grpc::Channel>& channel);

  // Starts a call and waits for it, for the deadline or for an interrupt.
  template <typename Response>
  absl::StatusOr<Response> Call(const Start<Response>& start);

  const ClientOptions options_;
  std::string server_certificate_;
  const absl::Time deadline_;
  const std::unique_ptr<v1::BackupService::Stub> backups_;
  const std::unique_ptr<v1::InventoryService::Stub> inventory_;
};

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_CLIENT_H_
