#ifndef VMKEEP_COMMON_GRPC_STATUS_H_
#define VMKEEP_COMMON_GRPC_STATUS_H_

#include "absl/status/status.h"
#include <grpcpp/support/status.h>

namespace vmkeep {

// The one mapping between absl::Status and grpc::Status. Payloads travel as google.rpc.Status
// details, both ways. The details are kept below `kMaxDetailBytes` (a trailer of 8 KiB is the usual
// limit of HTTP/2 peers): ErrorInfo first, what does not fit is left out.
constexpr size_t kMaxDetailBytes = 4096;

grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace vmkeep

#endif  // VMKEEP_COMMON_GRPC_STATUS_H_
