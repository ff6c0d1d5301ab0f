// Processes that need not be ours, by pid and creation time.
#include "common/process/deadline.h"
#include "common/process/errors.h"
#include "common/process/process.h"
#include "common/process/win32.h"

namespace vmkeep::process {
namespace {

// What OpenExactly() found. As long as the handle is open, the pid is nobody else's.
struct Found {
  Handle process;
  bool hidden = false;  // something has this pid, and may not be asked
};

constexpr DWORD kAsk = PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE;

absl::StatusOr<uint64_t> TimeOf(HANDLE process, pid_t pid) {
  FILETIME created{}, exited{}, kernel{}, user{};
  if (!GetProcessTimes(process, &created, &exited, &kernel, &user)) {
    return error::NoSuchProcess(pid);
  }
  return (static_cast<uint64_t>(created.dwHighDateTime) << 32) | created.dwLowDateTime;
}

Found OpenExactly(const ProcessId& id) {
  Found found;
  if (id.pid <= 0) return found;
  found.process = Handle(OpenProcess(kAsk, FALSE, static_cast<DWORD>(id.pid)));
  if (!found.process) {
    found.hidden = GetLastError() == ERROR_ACCESS_DENIED;
    return found;
  }
  const absl::StatusOr<uint64_t> start_time = TimeOf(found.process.get(), id.pid);
  if (!start_time.ok() || *start_time != id.start_time) found.process.Close();
  return found;
}

bool Ended(HANDLE process, DWORD millis) {
  return WaitForSingleObject(process, millis) == WAIT_OBJECT_0;
}

// `found` holds the pid while it is opened once more, with the right to end it.
bool Terminate(const Found& found, const ProcessId& id) {
  if (!found.process) return false;
  const Handle process(OpenProcess(PROCESS_TERMINATE, FALSE, static_cast<DWORD>(id.pid)));
  return process && TerminateProcess(process.get(), static_cast<UINT>(kKilledCode));
}

}  // namespace

absl::StatusOr<uint64_t> StartTime(pid_t pid) {
  if (pid <= 0) return error::NoSuchProcess(pid);
  const Handle process(OpenProcess(kAsk, FALSE, static_cast<DWORD>(pid)));
  // An ended one is there as long as anybody has a handle of it.
  if (!process || Ended(process.get(), 0)) return error::NoSuchProcess(pid);
  return TimeOf(process.get(), pid);
}

bool IsRunning(const ProcessId& id) {
  const Found found = OpenExactly(id);
  return found.process ? !Ended(found.process.get(), 0) : found.hidden;
}

bool KillIfRunning(const ProcessId& id) {
  const Found found = OpenExactly(id);
  return found.process && !Ended(found.process.get(), 0) && Terminate(found, id);
}

bool KillAndWait(const ProcessId& id, absl::Duration timeout) {
  const Deadline deadline(timeout);
  const Found found = OpenExactly(id);
  if (!found.process) return !found.hidden;
  (void)Terminate(found, id);  // refused for one that is ending, which is waited for all the same
  do {
    if (Ended(found.process.get(), WaitMillis(deadline.Left()))) return true;
  } while (!deadline.Passed());
  return false;
}

}  // namespace vmkeep::process
