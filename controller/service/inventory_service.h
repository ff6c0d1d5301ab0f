#ifndef VMKEEP_CONTROLLER_SERVICE_INVENTORY_SERVICE_H_
#define VMKEEP_CONTROLLER_SERVICE_INVENTORY_SERVICE_H_

#include "common/channel.h"
#include "controller/inventory/inventory.h"
#include "controller/service/gate.h"
#include "controller/service/tokens.h"
#include "controller/store/backup_store.h"
#include "vmkeep/v1/inventory_service.grpc.pb.h"

#include "absl/status/statusor.h"

#include <functional>
#include <string>

namespace vmkeep::controller {

// Asks a host's executor; answers exactly once, on any thread, within the executor client's
// deadline.
using InitRepositoryVerb =
    std::function<void(const HostId& host, int slot, bool allow_plain_directory,
                       std::function<void(absl::StatusOr<RepositoryRecord>)> done)>;

// Hosts, VMs and repositories. Each handler: authorise, validate, one verb, convert. None blocks.
// Thread-safe; lives until the server is shut down.
class InventoryService final : public ::vmkeep::v1::InventoryService::CallbackService {
 public:
  // `tls` is what hosts are dialled with: an address that it makes unsafe is refused.
  InventoryService(const Gate& gate, BackupStore& store, Inventory& inventory, TlsFiles tls,
                   InitRepositoryVerb init_repository);

  grpc::ServerUnaryReactor* RegisterHost(grpc::CallbackServerContext* context,
                                         const ::vmkeep::v1::RegisterHostRequest* request,
                                         ::vmkeep::v1::Host* response) override;
  grpc::ServerUnaryReactor* GetHost(grpc::CallbackServerContext* context,
                                    const ::vmkeep::v1::GetHostRequest* request,
                                    ::vmkeep::v1::Host* response) override;
  grpc::ServerUnaryReactor* ListHosts(grpc::CallbackServerContext* context,
                                      const ::vmkeep::v1::ListHostsRequest* request,
                                      ::vmkeep::v1::ListHostsResponse* response) override;
  grpc::ServerUnaryReactor* UpdateHost(grpc::CallbackServerContext* context,
                                       const ::vmkeep::v1::UpdateHostRequest* request,
                                       ::vmkeep::v1::Host* response) override;
  grpc::ServerUnaryReactor* DeleteHost(grpc::CallbackServerContext* context,
                                       const ::vmkeep::v1::DeleteHostRequest* request,
                                       google::protobuf::Empty* response) override;
  grpc::ServerUnaryReactor* RegisterVm(grpc::CallbackServerContext* context,
                                       const ::vmkeep::v1::RegisterVmRequest* request,
                                       ::vmkeep::v1::Vm* response) override;
  grpc::ServerUnaryReactor* GetVm(grpc::CallbackServerContext* context,
                                  const ::vmkeep::v1::GetVmRequest* request,
                                  ::vmkeep::v1::Vm* response) override;
  grpc::ServerUnaryReactor* ListVms(grpc::CallbackServerContext* context,
                                    const ::vmkeep::v1::ListVmsRequest* request,
                                    ::vmkeep::v1::ListVmsResponse* response) override;
  grpc::ServerUnaryReactor* InitRepository(grpc::CallbackServerContext* context,
                                           const ::vmkeep::v1::InitRepositoryRequest* request,
                                           ::vmkeep::v1::Repository* response) override;
  grpc::ServerUnaryReactor* ListRepositories(
      grpc::CallbackServerContext* context, const ::vmkeep::v1::ListRepositoriesRequest* request,
      ::vmkeep::v1::ListRepositoriesResponse* response) override;

 private:
  // The last id of the page before; empty on the first one.
  absl::StatusOr<std::string> CursorOf(const TokenScope& scope,
                                       const std::string& page_token) const;
  // Ends the call with the VM and what is under way for it.
  void ReplyVm(const std::string& project, ResolvedVm vm, ::vmkeep::v1::Vm* response,
               grpc::ServerUnaryReactor* reactor);
  TokenScope ScopeOf(const Caller& caller, const std::string& query_digest) const;

  const Gate& gate_;
  BackupStore& store_;
  Inventory& inventory_;
  const TlsFiles tls_;
  const InitRepositoryVerb init_repository_;
};

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_SERVICE_INVENTORY_SERVICE_H_
