#ifndef VMKEEP_COMMON_METRICS_GRPC_CALLS_H_
#define VMKEEP_COMMON_METRICS_GRPC_CALLS_H_

#include "common/metrics/registry.h"

#include <grpcpp/server_builder.h>

namespace vmkeep::metrics {

// Measures every call of the server that is built: ended calls by method and code, the time of
// those that are no streams, and what is under way. Methods that the server does not have are one
// label, "other", so that no caller can make the metrics grow. The registry outlives the server.
void MeasureCalls(grpc::ServerBuilder& builder, Registry& registry);

}  // namespace vmkeep::metrics

#endif  // VMKEEP_COMMON_METRICS_GRPC_CALLS_H_
