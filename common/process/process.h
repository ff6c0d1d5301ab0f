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
// What ties a child to our life, whatever kills us:
//   Linux    its stdin: the only other end is ours, closed by the kernel. A child that must not
//            outlive us reads its stdin to the end. (PR_SET_PDEATHSIG follows the parent's
//            *thread*, and jobs move between threads.)
//   Windows  a job object that only we hold, closed by the kernel: the child and all that it
//   started
//            die with us. Its stdin ends too, so a child written for Linux needs nothing else.
namespace vmkeep::process {

struct ProcessSpec {
  // The program, as a path or a name to be found in $PATH, and its arguments; not empty. UTF-8 on
  // Windows, where a program is an .exe: a batch file would be read by a shell, and is refused.
  std::vector<std::string> argv = {};
  // Added to our environment; replaces what has the same name (on Windows, in whatever case).
  std::vector<std::pair<std::string, std::string>> environment = {};
  // False: the child reads /dev/null, or NUL.
  bool with_stdin = true;
  // False: the child's stderr is ours. True: kept, the last kMaxStderrBytes of it.
  bool capture_stderr = false;
};

inline constexpr size_t kMaxStderrBytes = 64 << 10;

// The exit code of a process that we killed on Windows, which has no signals: an NTSTATUS of our
// own, severity error, customer bit set, which no program ends with by itself.
inline constexpr int kKilledCode = static_cast<int>(0xE0564D4B);

// How a process ended.
struct ExitStatus {
  int code = -1;   // of exit(), on Windows all 32 bits of it; -1 after a signal
  int signal = 0;  // that ended it; 0 after exit(), and on Windows
  bool ok() const { return code == 0 && signal == 0; }
  // Ended from outside and at once: SIGKILL, or kKilledCode.
  bool killed() const;
  std::string ToString() const;
};

// Who a process is, also after its pid went to another: pids come again, start times do not.
struct ProcessId {
  pid_t pid = 0;
  // Linux: clock ticks after boot, field 22 of /proc/PID/stat. Windows: the creation time, in 100
  // ns.
  uint64_t start_time = 0;
};

// A started process. Not thread-safe, but for Kill(); may move between threads. Destroyed while it
// runs, it is killed; one that cannot die (it hangs in the kernel) is left behind, and on Linux
// reaped when a later one starts.
class ChildProcess {
 public:
  virtual ~ChildProcess() = default;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  const ProcessId& id() const { return id_; }

  // Writes all of `bytes` to its stdin. UNAVAILABLE, reason PROCESS_GONE, when it reads no more;
  // DEADLINE_EXCEEDED when it does not read.
  virtual absl::Status Write(absl::string_view bytes, absl::Duration timeout) = 0;
  virtual void CloseStdin() = 0;

  struct Output {
    std::string bytes;   // empty: the end, the timeout or the stop
    bool ended = false;  // no more will come
  };
  // The next bytes of its stdout. Returns early, with nothing, once `stop` is requested. Reads
  // stderr on the way.
  virtual absl::StatusOr<Output> ReadSome(absl::Duration timeout, const std::stop_token& stop) = 0;
  absl::StatusOr<Output> ReadSome(absl::Duration timeout) { return ReadSome(timeout, {}); }

  // What it wrote to stderr and ReadSome() or Wait() came across.
  const std::string& captured_stderr() const { return stderr_text_; }

  // SIGKILL; does nothing once it is reaped. On Windows the end of its job: of all that it started,
  // too.
  virtual void Kill() = 0;
  // Waits for its end and reaps it; nothing after `timeout`. The same answer again when it was
  // reaped before.
  virtual std::optional<ExitStatus> Wait(absl::Duration timeout) = 0;

 protected:
  ChildProcess() = default;
  void AddStderr(absl::string_view bytes);

  std::string program_;
  ProcessId id_;

 private:
  std::string stderr_text_;
};

// FAILED_PRECONDITION, reason PROGRAM_NOT_STARTED, when there is no such program. The child has no
// descriptor or handle but the three of stdio. On Linux it has no blocked or ignored signal, and a
// process group of its own (a ^C is not for it); on Windows no console. Thread-safe.
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
// True while exactly this process runs, any thread of it (a zombie does not). On Windows also for
// one that may not be asked: another user's.
bool IsRunning(const ProcessId& id);
// SIGKILL, or its like, to exactly this process, which need not be a child; false when it is gone.
bool KillIfRunning(const ProcessId& id);
// The same, and waits for its end, of all its threads: what it had open and locked is free. False
// when it still lives after `timeout`.
bool KillAndWait(const ProcessId& id, absl::Duration timeout);

}  // namespace vmkeep::process

#endif  // VMKEEP_COMMON_PROCESS_PROCESS_H_
