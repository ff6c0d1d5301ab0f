#ifndef VMKEEP_COMMON_PROCESS_PROCESS_H_
#define VMKEEP_COMMON_PROCESS_PROCESS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

// Child processes: a list of arguments, never a shell; every wait has a timeout (monotonic, from
// the call) and, where it may be long, a stop.
//
// A child is not tied to our life by PR_SET_PDEATHSIG: that follows the parent's *thread*, and jobs
// move between threads. What ties it is its stdin: the only other end is ours, closed by the kernel
// whatever kills us. A child that must not outlive us reads its stdin to the end.
namespace vmkeep::process {

struct ProcessSpec {
  // The program, as a path or a name to be found in $PATH, and its arguments. Not empty.
  std::vector<std::string> argv = {};
  // Added to our environment; replaces what has the same name.
  std::vector<std::pair<std::string, std::string>> environment = {};
  // False: the child reads /dev/null.
  bool with_stdin = true;
  // False: the child's stderr is ours. True: kept, the last kMaxStderrBytes of it.
  bool capture_stderr = false;
};

inline constexpr size_t kMaxStderrBytes = 64 << 10;

// How a process ended.
struct ExitStatus {
  int code = -1;   // of exit(); -1 after a signal
  int signal = 0;  // that ended it; 0 after exit()
  bool ok() const { return code == 0; }
  std::string ToString() const;
};

// Who a process is, also after its pid went to another: pids come again, start times do not.
struct ProcessId {
  pid_t pid = 0;
  uint64_t start_time = 0;  // clock ticks after boot: field 22 of /proc/PID/stat
};

// A started process. Not thread-safe, but for Kill(). Destroyed while it runs, it is killed; one
// that cannot die (it hangs in the kernel) is left behind and reaped when a later one starts.
class ChildProcess {
 public:
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  const ProcessId& id() const { return id_; }

  // Writes all of `bytes` to its stdin. UNAVAILABLE, reason PROCESS_GONE, when it reads no more;
  // DEADLINE_EXCEEDED when it does not read.
  absl::Status Write(absl::string_view bytes, absl::Duration timeout);
  void CloseStdin();

  struct Output {
    std::string bytes;   // empty: the end, the timeout or the stop
    bool ended = false;  // no more will come
  };
  // The next bytes of its stdout. Returns early, with nothing, once `stop` is requested. Reads
  // stderr on the way.
  absl::StatusOr<Output> ReadSome(absl::Duration timeout, const std::stop_token& stop = {});

  // What it wrote to stderr and ReadSome() or Wait() came across.
  const std::string& captured_stderr() const { return stderr_text_; }

  // SIGKILL. Does nothing once it is reaped.
  void Kill();
  // Waits for its end and reaps it; nothing after `timeout`. The same answer again when it was
  // reaped before.
  std::optional<ExitStatus> Wait(absl::Duration timeout);

 private:
  friend absl::StatusOr<std::unique_ptr<ChildProcess>> Spawn(const ProcessSpec& spec);
  ChildProcess() = default;
  void DrainStderr();

  std::string program_;
  ProcessId id_;
  int pidfd_ = -1;
  int stdin_ = -1;  // a socket: a write to a dead child must not raise SIGPIPE in us
  int stdout_ = -1;
  int stderr_ = -1;  // -1: not captured, or at its end
  std::string stderr_text_;
  std::optional<ExitStatus> exit_;
};

// FAILED_PRECONDITION, reason PROGRAM_NOT_STARTED, when there is no such program. The child has no
// descriptor but 0, 1 and 2, no blocked or ignored signal, and a process group of its own (a ^C is
// not for it). Thread-safe.
absl::StatusOr<std::unique_ptr<ChildProcess>> Spawn(const ProcessSpec& spec);

struct RunResult {
  ExitStatus exit_status;
  std::string out;
  std::string err;  // the last kMaxStderrBytes
};
inline constexpr size_t kMaxRunOutputBytes = 16 << 20;

// Runs a program that needs no input to its end. A failed program is a result; an error is: not
// started, killed at `timeout` (DEADLINE_EXCEEDED, reason PROCESS_DEADLINE), killed at the stop
// (CANCELLED), or more output than kMaxRunOutputBytes. Runs with LC_ALL=C. Thread-safe.
absl::StatusOr<RunResult> RunToEnd(const std::vector<std::string>& argv, absl::Duration timeout,
                                   const std::stop_token& stop = {});

// The start time of a process, to keep beside its pid. NOT_FOUND, reason PROCESS_NOT_FOUND.
absl::StatusOr<uint64_t> StartTime(pid_t pid);
// True while exactly this process runs, any thread of it (a zombie does not).
bool IsRunning(const ProcessId& id);
// SIGKILL to exactly this process, which need not be a child; false when it is gone.
bool KillIfRunning(const ProcessId& id);
// The same, and waits for its end, of all its threads: what it had open and locked is free. False
// when it still lives after `timeout`.
bool KillAndWait(const ProcessId& id, absl::Duration timeout);

}  // namespace vmkeep::process

#endif  // VMKEEP_COMMON_PROCESS_PROCESS_H_
