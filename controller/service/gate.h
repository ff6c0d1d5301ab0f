#ifndef VMKEEP_CONTROLLER_SERVICE_GATE_H_
#define VMKEEP_CONTROLLER_SERVICE_GATE_H_

#include "controller/access/identity.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <utility>

namespace vmkeep::controller {

// The front of every handler: who calls, may they, and do we still take calls. Thread-safe.
class Gate {
 public:
  explicit Gate(AccessPolicy policy) : policy_(std::move(policy)) {}

  // `method` is the full name, "/vmkeep.v1.BackupService/GetBackup". Identity and decision come
  // before everything else: a stranger does not even learn that the controller is stopping.
  absl::StatusOr<Caller> Admit(const grpc::CallbackServerContext& context,
                               absl::string_view method) const;

  // From now on every call is refused with DRAINING.
  void Drain() { draining_ = true; }

 private:
  const AccessPolicy policy_;
  std::atomic<bool> draining_ = false;
};

// Ends the call and returns the reactor, for `return Finish(...)`.
grpc::ServerUnaryReactor* Finish(grpc::ServerUnaryReactor* reactor, const absl::Status& status);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_SERVICE_GATE_H_
