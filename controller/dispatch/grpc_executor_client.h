#ifndef VMKEEP_CONTROLLER_DISPATCH_GRPC_EXECUTOR_CLIENT_H_
#define VMKEEP_CONTROLLER_DISPATCH_GRPC_EXECUTOR_CLIENT_H_

#include "common/channel.h"
#include "controller/dispatch/executor_client.h"

namespace vmkeep::controller {

// Dials with `tls`: a unix socket, loopback, or mutual TLS, else the factory refuses the address.
// Every call has a deadline; the channel pings a silent peer. A client that is destroyed cancels
// its calls: each still answers, from a gRPC thread. The only gRPC client of the controller.
ExecutorClientFactory GrpcExecutorClientFactory(TlsFiles tls);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_DISPATCH_GRPC_EXECUTOR_CLIENT_H_
