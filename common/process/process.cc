// What is the same on both systems.
#include "common/process/process.h"

#include "common/process/deadline.h"
#include "common/process/errors.h"
#include "common/status_macros.h"

#include "absl/strings/str_cat.h"

#include <algorithm>

namespace vmkeep::process {
namespace {

constexpr int kSigkill = 9;  // POSIX fixes it; there is no SIGKILL in Windows' headers

}  // namespace

bool ExitStatus::killed() const {
  return signal == kSigkill || (signal == 0 && code == kKilledCode);
}

std::string ExitStatus::ToString() const {
  if (signal != 0) return absl::StrCat("signal ", signal);
  if (code == kKilledCode) return "killed";
  // An NTSTATUS, such as that of an access violation.
  if (code < 0) return absl::StrCat("exit status 0x", absl::Hex(static_cast<uint32_t>(code)));
  return absl::StrCat("exit status ", code);
}

void ChildProcess::AddStderr(absl::string_view bytes) {
  stderr_text_.append(bytes.data(), bytes.size());
  if (stderr_text_.size() > kMaxStderrBytes) {
    stderr_text_.erase(0, stderr_text_.size() - kMaxStderrBytes);
  }
}

absl::StatusOr<RunResult> RunToEnd(const std::vector<std::string>& argv, absl::Duration timeout,
                                   const std::stop_token& stop) {
  const Deadline deadline(timeout);
  VMKEEP_ASSIGN_OR_RETURN(const std::unique_ptr<ChildProcess> child,
                          Spawn({.argv = argv,
                                 .environment = {{"LC_ALL", "C"}},
                                 .with_stdin = false,
                                 .capture_stderr = true}));
  RunResult result;
  for (bool ended = false; !ended;) {
    VMKEEP_ASSIGN_OR_RETURN(const ChildProcess::Output output,
                            child->ReadSome(deadline.Left(), stop));
    result.out += output.bytes;
    ended = output.ended;
    if (result.out.size() > kMaxRunOutputBytes)
      return error::OutputTooLong(argv[0], kMaxRunOutputBytes);
    if (!ended && stop.stop_requested()) return error::Cancelled(argv[0]);
    if (!ended && deadline.Passed()) return error::Deadline(argv[0], timeout);
  }
  // It closed its stdout; what it does after that still counts against the same deadline, in slices
  // that see a stop.
  std::optional<ExitStatus> status;
  while (!(status = child->Wait(std::min(deadline.Left(), absl::Milliseconds(100))))) {
    if (stop.stop_requested()) return error::Cancelled(argv[0]);
    if (deadline.Passed()) return error::Deadline(argv[0], timeout);
  }
  result.exit_status = *status;
  result.err = child->captured_stderr();
  return result;
}

}  // namespace vmkeep::process
