#include "tools/vmkeepctl/client.h"

#include "common/backoff.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/grpc_status.h"
#include "common/status_macros.h"
#include "tools/vmkeepctl/errors.h"
#include "tools/vmkeepctl/terminal.h"

#include "absl/time/clock.h"
#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

namespace vmkeep::ctl {
namespace {

constexpr absl::Duration kUnaryTimeout = absl::Seconds(30);
// How soon an interrupt is seen.
constexpr absl::Duration kPoll = absl::Milliseconds(50);
// About 5 s in all: a controller that restarts is back by then.
constexpr int kCreateTries = 7;

// After the call.
std::string PeerCertificate(const grpc::ClientContext& context) {
  const std::shared_ptr<const grpc::AuthContext> peer = context.auth_context();
  if (peer == nullptr) return {};
  const std::vector<grpc::string_ref> values =
      peer->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  return values.empty() ? std::string() : std::string(values[0].data(), values[0].size());
}

}  // namespace

WatchStream::WatchStream(v1::BackupService::Stub& stub, v1::WatchBackupsRequest request,
                         absl::Time deadline)
    : request_(std::move(request)) {
  if (deadline != absl::InfiniteFuture()) context_.set_deadline(absl::ToChronoTime(deadline));
  stub.async()->WatchBackups(&context_, &request_, this);
  // Reads are started by Next(), outside of a reaction.
  AddHold();
  StartRead(&incoming_);
  StartCall();
}

WatchStream::~WatchStream() {
  context_.TryCancel();
  while (!ended_) Next(absl::InfiniteDuration());
}

std::optional<WatchEvent> WatchStream::Next(absl::Duration timeout) {
  std::optional<WatchEvent> event = events_->Pop(timeout);
  if (!event.has_value()) return std::nullopt;
  if (event->message.has_value()) {
    event->message = std::move(incoming_);
    incoming_.Clear();
    StartRead(&incoming_);
  } else {
    ended_ = true;
  }
  return event;
}

void WatchStream::OnReadDone(bool ok) {
  if (ok) {
    events_->Push({v1::WatchBackupsResponse(), absl::OkStatus()});
  } else {
    RemoveHold();
  }
}

void WatchStream::OnDone(const grpc::Status& status) {
  const std::shared_ptr<Events> events = events_;
  events->Push({std::nullopt, FromGrpcStatus(status)});
}

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const ClientOptions& options) {
  VMKEEP_ASSIGN_OR_RETURN(const auto channel, Dial(options.server, options.tls));
  return std::unique_ptr<Client>(new Client(options, channel));
}

Client::Client(const ClientOptions& options, const std::shared_ptr<grpc::Channel>& channel)
    : options_(options),
      deadline_(options.timeout.has_value() ? absl::Now() + *options.timeout
                                            : absl::InfiniteFuture()),
      backups_(v1::BackupService::NewStub(channel)),
      inventory_(v1::InventoryService::NewStub(channel)) {}

absl::Status Client::Explain(const absl::Status& status) const {
  if (status.ok() || !ErrorReason(status).empty()) return status;
  if (absl::IsUnavailable(status))
    return error::ControllerUnreachable(options_.server, status.message());
  if (absl::IsDeadlineExceeded(status)) return error::TimedOut(options_.server);
  if (absl::IsUnimplemented(status)) return error::ControllerTooOld(options_.server);
  return status;
}

absl::Status Client::Sleep(absl::Duration duration) const {
  const absl::Time until = absl::Now() + duration;
  while (absl::Now() < until) {
    if (WasInterrupted()) return error::Interrupted();
    if (absl::Now() >= deadline_) return error::TimedOut(options_.server);
    RealClock().WaitFor(std::min(kPoll, until - absl::Now()), {});
  }
  return absl::OkStatus();
}

template <typename Response>
absl::StatusOr<Response> Client::Call(const Start<Response>& start) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(std::min(deadline_, absl::Now() + kUnaryTimeout)));
  Response response;
  // Shared, so that the callback may still be inside Push when we return.
  const auto done = std::make_shared<Queue<grpc::Status>>();
  start(&context, &response, [done](const grpc::Status& status) { done->Push(status); });
  std::optional<grpc::Status> status;
  while (!status.has_value()) {
    status = done->Pop(kPoll);
    if (WasInterrupted()) context.TryCancel();
  }
  server_certificate_ = PeerCertificate(context);
  if (status->error_code() == grpc::StatusCode::CANCELLED && WasInterrupted())
    return error::Interrupted();
  VMKEEP_RETURN_IF_ERROR(Explain(FromGrpcStatus(*status)));
  return response;
}

absl::StatusOr<v1::Host> Client::RegisterHost(const v1::RegisterHostRequest& request) {
  return Call<v1::Host>([&](auto* context, auto* response, auto done) {
    inventory_->async()->RegisterHost(context, &request, response, std::move(done));
  });
}

absl::StatusOr<v1::Host> Client::GetHost(const v1::GetHostRequest& request) {
  return Call<v1::Host>([&](auto* context, auto* response, auto done) {
    inventory_->async()->GetHost(context, &request, response, std::move(done));
  });
}

absl::StatusOr<v1::ListHostsResponse> Client::ListHosts(const v1::ListHostsRequest& request) {
  return Call<v1::ListHostsResponse>([&](auto* context, auto* response, auto done) {
    inventory_->async()->ListHosts(context, &request, response, std::move(done));
  });
}

absl::StatusOr<v1::Host> Client::UpdateHost(const v1::UpdateHostRequest& request) {
  return Call<v1::Host>([&](auto* context, auto* response, auto done) {
    inventory_->async()->UpdateHost(context, &request, response, std::move(done));
  });
}

absl::StatusOr<google::protobuf::Empty> Client::DeleteHost(const v1::DeleteHostRequest& request) {
  return Call<google::protobuf::Empty>([&](auto* context, auto* response, auto done) {
    inventory_->async()->DeleteHost(context, &request, response, std::move(done));
  });
}

absl::StatusOr<v1::Vm> Client::RegisterVm(const v1::RegisterVmRequest& request) {
  return Call<v1::Vm>([&](auto* context, auto* response, auto done) {
    inventory_->async()->RegisterVm(context, &request, response, std::move(done));
  });
}

absl::StatusOr<v1::Vm> Client::GetVm(const v1::GetVmRequest& request) {
  return Call<v1::Vm>([&](auto* context, auto* response, auto done) {
    inventory_->async()->GetVm(context, &request, response, std::move(done));
  });
}

absl::StatusOr<v1::ListVmsResponse> Client::ListVms(const v1::ListVmsRequest& request) {
  return Call<v1::ListVmsResponse>([&](auto* context, auto* response, auto done) {
    inventory_->async()->ListVms(context, &request, response, std::move(done));
  });
}

absl::StatusOr<v1::Repository> Client::InitRepository(const v1::InitRepositoryRequest& request) {
  return Call<v1::Repository>([&](auto* context, auto* response, auto done) {
    inventory_->async()->InitRepository(context, &request, response, std::move(done));
  });
}

absl::StatusOr<v1::ListRepositoriesResponse> Client::ListRepositories(
    const v1::ListRepositoriesRequest& request) {
  return Call<v1::ListRepositoriesResponse>([&](auto* context, auto* response, auto done) {
    inventory_->async()->ListRepositories(context, &request, response, std::move(done));
  });
}

absl::StatusOr<v1::Backup> Client::GetBackup(const v1::GetBackupRequest& request) {
  return Call<v1::Backup>([&](auto* context, auto* response, auto done) {
    backups_->async()->GetBackup(context, &request, response, std::move(done));
  });
}

absl::StatusOr<v1::ListBackupsResponse> Client::ListBackups(const v1::ListBackupsRequest& request) {
  return Call<v1::ListBackupsResponse>([&](auto* context, auto* response, auto done) {
    backups_->async()->ListBackups(context, &request, response, std::move(done));
  });
}

absl::StatusOr<v1::Backup> Client::UpdateBackup(const v1::UpdateBackupRequest& request) {
  return Call<v1::Backup>([&](auto* context, auto* response, auto done) {
    backups_->async()->UpdateBackup(context, &request, response, std::move(done));
  });
}

absl::StatusOr<v1::Backup> Client::RetryBackup(const v1::RetryBackupRequest& request) {
  return Call<v1::Backup>([&](auto* context, auto* response, auto done) {
    backups_->async()->RetryBackup(context, &request, response, std::move(done));
  });
}

absl::StatusOr<v1::Backup> Client::CreateBackup(const v1::CreateBackupRequest& request) {
  Backoff backoff(absl::Milliseconds(200), absl::Seconds(2), std::random_device()());
  for (int tries = 1;; ++tries) {
    absl::StatusOr<v1::Backup> backup =
        Call<v1::Backup>([&](auto* context, auto* response, auto done) {
          backups_->async()->CreateBackup(context, &request, response, std::move(done));
        });
    if (!absl::IsUnavailable(backup.status()) || tries == kCreateTries) return backup;
    // Out of time or interrupted: a time-out says less than why there was no answer.
    absl::Status slept = Sleep(backoff.Next());
    if (absl::IsCancelled(slept)) return slept;
    if (!slept.ok()) return backup;
  }
}

std::unique_ptr<WatchStream> Client::Watch(const v1::WatchBackupsRequest& request) {
  return std::make_unique<WatchStream>(*backups_, request, deadline_);
}

}  // namespace vmkeep::ctl
