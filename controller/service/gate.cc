#include "controller/service/gate.h"

#include "common/grpc_status.h"
#include "common/status_macros.h"
#include "controller/access/decision.h"
#include "controller/service/errors.h"

#include <grpcpp/security/auth_context.h>

#include <memory>
#include <string>
#include <vector>

namespace vmkeep::controller {
namespace {

Peer PeerOf(const grpc::CallbackServerContext& context) {
  Peer peer;
  peer.address = context.peer();
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return peer;
  peer.authenticated = true;
  const std::vector<grpc::string_ref> names = auth->FindPropertyValues("x509_common_name");
  if (names.size() == 1) peer.common_name = std::string(names[0].data(), names[0].size());
  return peer;
}

}  // namespace

absl::StatusOr<Caller> Gate::Admit(const grpc::CallbackServerContext& context,
                                   absl::string_view method) const {
  VMKEEP_ASSIGN_OR_RETURN(Caller caller, Identify(PeerOf(context), policy_));
  VMKEEP_RETURN_IF_ERROR(Authorize(caller, method));
  if (draining_) return error::Draining();
  return caller;
}

grpc::ServerUnaryReactor* Finish(grpc::ServerUnaryReactor* reactor, const absl::Status& status) {
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

}  // namespace vmkeep::controller
