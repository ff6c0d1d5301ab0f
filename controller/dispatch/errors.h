#ifndef VMKEEP_CONTROLLER_DISPATCH_ERRORS_H_
#define VMKEEP_CONTROLLER_DISPATCH_ERRORS_H_

#include "controller/domain/backup.h"

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace vmkeep::controller::error {

// kUnavailable, HOST_UNREACHABLE: the call never left, or nobody knows whether it arrived.
absl::Status HostUnreachable(const HostId& host, absl::string_view why);
// kUnavailable, EXECUTOR_SILENT: the stream stands, but nothing comes.
absl::Status ExecutorSilent(absl::Duration since);
// kFailedPrecondition, PROTOCOL_MISMATCH (metadata "protocol"): the executor answered with a
// protocol that this controller does not speak. `version`: the executor's; may be empty.
absl::Status ProtocolMismatch(absl::string_view version, int protocol);
// kInternal, BAD_ANSWER: the executor's answer breaks the protocol.
absl::Status BadAnswer(absl::string_view call, absl::string_view what);

}  // namespace vmkeep::controller::error

#endif  // VMKEEP_CONTROLLER_DISPATCH_ERRORS_H_
