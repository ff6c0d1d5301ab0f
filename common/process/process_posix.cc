#include "common/clock.h"
#include "common/mutex.h"
#include "common/process/deadline.h"
#include "common/process/errors.h"
#include "common/process/process.h"
#include "common/status_macros.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <limits>

namespace vmkeep::process {

std::string error::SystemText(int64_t code) { return std::strerror(static_cast<int>(code)); }

namespace {

// How long the destructor waits for a killed child before it is left to the orphanage.
constexpr absl::Duration kDestructorWait = absl::Milliseconds(200);

void CloseFd(int* fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

// A descriptor that closes itself.
class Scoped {
 public:
  Scoped() = default;
  explicit Scoped(int fd) : fd_(fd) {}
  ~Scoped() { CloseFd(&fd_); }
  Scoped(const Scoped&) = delete;
  Scoped& operator=(const Scoped&) = delete;
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }
  // Takes `fd`, moved above 2: otherwise, in a process started without stdio, the child's dup2()
  // calls would overwrite each other.
  absl::Status Take(int fd) {
    fd_ = fd;
    if (fd < 0 || fd > 2) return absl::OkStatus();
    fd_ = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    const int err = errno;
    close(fd);
    return fd_ < 0 ? error::System("fcntl", err) : absl::OkStatus();
  }

 private:
  int fd_ = -1;
};

int PollTimeout(absl::Duration left) {
  if (left >= absl::Hours(24)) return 24 * 3600 * 1000;
  const int64_t millis = absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1)));
  return static_cast<int>(std::max<int64_t>(0, millis));
}

// Makes a stop visible to poll().
class StopEvent {
 public:
  explicit StopEvent(const std::stop_token& stop)
      : fd_(stop.stop_possible() ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1),
        callback_(stop, Ring{fd_.get()}) {}
  StopEvent(const StopEvent&) = delete;
  StopEvent& operator=(const StopEvent&) = delete;
  int fd() const { return fd_.get(); }

 private:
  struct Ring {
    int fd;
    void operator()() const { (void)eventfd_write(fd, 1); }
  };
  Scoped fd_;
  // Declared last, so gone first: nobody rings a descriptor that is closed, or another's by now. A
  // close in a destructor of ours would come before both.
  std::stop_callback<Ring> callback_;
};

// Children that outlived their object: they hang in the kernel and cannot die yet. Reaped whenever
// another one starts, so that they do not stay as zombies.
class Orphanage {
 public:
  void Add(pid_t pid) {
    MutexLock lock(&mu_);
    pids_.push_back(pid);
  }
  void Reap() {
    MutexLock lock(&mu_);
    std::erase_if(pids_, [](pid_t pid) { return waitpid(pid, nullptr, WNOHANG) != 0; });
  }

 private:
  Mutex mu_;
  std::vector<pid_t> pids_ ABSL_GUARDED_BY(mu_);
};

Orphanage& Orphans() {
  static Orphanage orphanage;
  return orphanage;
}

// posix_spawn's two option objects, with the rules of Spawn().
class SpawnOptions {
 public:
  SpawnOptions() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(
        &attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }
  ~SpawnOptions() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnOptions(const SpawnOptions&) = delete;
  SpawnOptions& operator=(const SpawnOptions&) = delete;

  void Give(int fd, int as) { posix_spawn_file_actions_adddup2(&actions_, fd, as); }
  void GiveNull(int as) {
    posix_spawn_file_actions_addopen(&actions_, as, "/dev/null", O_RDONLY, 0);
  }
  void CloseTheRest() { posix_spawn_file_actions_addclosefrom_np(&actions_, 3); }
  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_ = {};
  posix_spawnattr_t attributes_ = {};
};

std::vector<std::string> Environment(const ProcessSpec& spec) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const bool replaced =
        std::any_of(spec.environment.begin(), spec.environment.end(), [&](const auto& added) {
          return absl::StartsWith(*entry, absl::StrCat(added.first, "="));
        });
    if (!replaced) result.emplace_back(*entry);
  }
  for (const auto& [name, value] : spec.environment)
    result.push_back(absl::StrCat(name, "=", value));
  return result;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  result.reserve(strings.size() + 1);
  for (std::string& text : strings) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

absl::Status MakePipe(Scoped* read_end, Scoped* write_end) {
  std::array<int, 2> fds{};
  if (pipe2(fds.data(), O_CLOEXEC) != 0) return error::System("pipe2", errno);
  const absl::Status first = read_end->Take(fds[0]);
  VMKEEP_RETURN_IF_ERROR(write_end->Take(fds[1]));
  VMKEEP_RETURN_IF_ERROR(first);
  // Only our end: a child does not expect EAGAIN.
  fcntl(read_end->get(), F_SETFL, O_NONBLOCK);
  return absl::OkStatus();
}

absl::Status MakeSocket(Scoped* ours, Scoped* theirs) {
  std::array<int, 2> fds{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) != 0)
    return error::System("socketpair", errno);
  const absl::Status first = ours->Take(fds[0]);
  VMKEEP_RETURN_IF_ERROR(theirs->Take(fds[1]));
  VMKEEP_RETURN_IF_ERROR(first);
  // The child cannot write back through its stdin, and sees the end of the stream when we close.
  shutdown(ours->get(), SHUT_RD);
  return absl::OkStatus();
}

int OpenPidfd(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

class PosixChild final : public ChildProcess {
 public:
  // Takes the child's pid and our ends. What it needs of the kernel comes with Open().
  PosixChild(std::string program, pid_t pid, Scoped* in, Scoped* out, Scoped* err)
      : stdin_(in->Release()), stdout_(out->Release()), stderr_(err->Release()) {
    program_ = std::move(program);
    id_.pid = pid;
  }
  ~PosixChild() override;
  absl::Status Open();

  absl::Status Write(absl::string_view bytes, absl::Duration timeout) override;
  void CloseStdin() override;
  absl::StatusOr<Output> ReadSome(absl::Duration timeout, const std::stop_token& stop) override;
  void Kill() override;
  std::optional<ExitStatus> Wait(absl::Duration timeout) override;

 private:
  void DrainStderr();

  int pidfd_ = -1;
  int stdin_;  // a socket: a write to a dead child must not raise SIGPIPE in us
  int stdout_;
  int stderr_;  // -1: not captured, or at its end
  std::optional<ExitStatus> exit_;
};

absl::Status PosixChild::Open() {
  pidfd_ = OpenPidfd(id_.pid);
  if (pidfd_ < 0) return error::System("pidfd_open", errno);
  // There is a /proc entry as long as nobody has reaped it, and only this object does.
  VMKEEP_ASSIGN_OR_RETURN(id_.start_time, StartTime(id_.pid));
  return absl::OkStatus();
}

PosixChild::~PosixChild() {
  Kill();
  CloseFd(&stdin_);
  CloseFd(&stdout_);
  if (!Wait(kDestructorWait)) Orphans().Add(id_.pid);
  CloseFd(&stderr_);
  CloseFd(&pidfd_);
}

absl::Status PosixChild::Write(absl::string_view bytes, absl::Duration timeout) {
  const Deadline deadline(timeout);
  while (!bytes.empty()) {
    if (stdin_ < 0) return error::Gone(program_);
    const ssize_t sent = send(stdin_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
      continue;
    }
    if (errno == EPIPE || errno == ECONNRESET) return error::Gone(program_);
    if (errno != EAGAIN && errno != EINTR) return error::System("send", errno);
    if (deadline.Passed()) return error::Deadline(program_, timeout);
    pollfd wait{.fd = stdin_, .events = POLLOUT, .revents = 0};
    poll(&wait, 1, PollTimeout(deadline.Left()));
  }
  return absl::OkStatus();
}

void PosixChild::CloseStdin() { CloseFd(&stdin_); }

void PosixChild::DrainStderr() {
  std::array<char, 4096> buffer = {};
  while (stderr_ >= 0) {
    const ssize_t got = read(stderr_, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return CloseFd(&stderr_);
    AddStderr({buffer.data(), static_cast<size_t>(got)});
  }
}

absl::StatusOr<ChildProcess::Output> PosixChild::ReadSome(absl::Duration timeout,
                                                          const std::stop_token& stop) {
  const Deadline deadline(timeout);
  const StopEvent stopped(stop);
  Output output;
  while (stdout_ >= 0) {
    std::array<pollfd, 3> fds{pollfd{stdout_, POLLIN, 0}, pollfd{stderr_, POLLIN, 0},
                              pollfd{stopped.fd(), POLLIN, 0}};
    if (poll(fds.data(), fds.size(), PollTimeout(deadline.Left())) < 0 && errno != EINTR) {
      return error::System("poll", errno);
    }
    DrainStderr();
    output.bytes.resize(64 << 10);
    const ssize_t got = read(stdout_, output.bytes.data(), output.bytes.size());
    output.bytes.resize(static_cast<size_t>(std::max<ssize_t>(0, got)));
    if (got > 0) return output;
    if (got == 0) CloseFd(&stdout_);
    if (got < 0 && errno != EAGAIN && errno != EINTR) return error::System("read", errno);
    if (stop.stop_requested() || (stdout_ >= 0 && deadline.Passed())) return output;
  }
  output.ended = true;
  return output;
}

void PosixChild::Kill() {
  // Through the pidfd: it never hits another process, even when this one was reaped in between.
  if (pidfd_ >= 0) syscall(SYS_pidfd_send_signal, pidfd_, SIGKILL, nullptr, 0);
}

std::optional<ExitStatus> PosixChild::Wait(absl::Duration timeout) {
  const Deadline deadline(timeout);
  while (!exit_) {
    DrainStderr();  // a child that waits for room in the pipe would never end
    int status = 0;
    const pid_t got = waitpid(id_.pid, &status, WNOHANG);
    if (got == id_.pid) {
      exit_ =
          WIFEXITED(status) ? ExitStatus{WEXITSTATUS(status), 0} : ExitStatus{-1, WTERMSIG(status)};
      DrainStderr();
    } else if (got < 0 && errno != EINTR) {
      exit_ = ExitStatus{
          -1, SIGKILL};  // somebody else reaped it (SIGCHLD ignored): its end is all we know
    } else if (deadline.Passed()) {
      return std::nullopt;
    } else {
      std::array<pollfd, 2> fds{pollfd{pidfd_, POLLIN, 0}, pollfd{stderr_, POLLIN, 0}};
      poll(fds.data(), fds.size(), PollTimeout(deadline.Left()));
    }
  }
  return exit_;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> Spawn(const ProcessSpec& spec) {
  if (spec.argv.empty()) return error::NotStarted("", EINVAL);
  Orphans().Reap();
  Scoped stdin_ours, stdin_theirs, stdout_ours, stdout_theirs, stderr_ours, stderr_theirs;
  SpawnOptions options;
  if (spec.with_stdin) {
    VMKEEP_RETURN_IF_ERROR(MakeSocket(&stdin_ours, &stdin_theirs));
    options.Give(stdin_theirs.get(), STDIN_FILENO);
  } else {
    options.GiveNull(STDIN_FILENO);
  }
  VMKEEP_RETURN_IF_ERROR(MakePipe(&stdout_ours, &stdout_theirs));
  options.Give(stdout_theirs.get(), STDOUT_FILENO);
  if (spec.capture_stderr) {
    VMKEEP_RETURN_IF_ERROR(MakePipe(&stderr_ours, &stderr_theirs));
    options.Give(stderr_theirs.get(), STDERR_FILENO);
  }
  options.CloseTheRest();

  std::vector<std::string> argv = spec.argv;
  std::vector<std::string> environment = Environment(spec);
  pid_t pid = 0;
  const int err = posix_spawnp(&pid, argv[0].c_str(), options.actions(), options.attributes(),
                               Pointers(argv).data(), Pointers(environment).data());
  if (err != 0) return error::NotStarted(argv[0], err);

  auto child = std::make_unique<PosixChild>(argv[0], pid, &stdin_ours, &stdout_ours, &stderr_ours);
  VMKEEP_RETURN_IF_ERROR(child->Open());
  return child;
}

absl::StatusOr<uint64_t> StartTime(pid_t pid) {
  std::array<char, 1024> buffer{};
  const int fd = open(absl::StrCat("/proc/", pid, "/stat").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return error::NoSuchProcess(pid);
  const ssize_t got = read(fd, buffer.data(), buffer.size());
  close(fd);
  const absl::string_view text(buffer.data(), static_cast<size_t>(std::max<ssize_t>(0, got)));
  // Field 2, the name in parentheses, may hold anything, ") " included: fields are counted after
  // the last one.
  const size_t name_end = text.rfind(')');
  if (name_end == absl::string_view::npos) return error::NoSuchProcess(pid);
  const std::vector<absl::string_view> fields =
      absl::StrSplit(text.substr(name_end + 1), ' ', absl::SkipEmpty());
  uint64_t start_time = 0;
  if (fields.size() < 20 || !absl::SimpleAtoi(fields[19], &start_time))
    return error::NoSuchProcess(pid);
  return start_time;
}

namespace {

// A descriptor of exactly this process, or -1 when there is no such process. The descriptor first,
// then the proof: between the two the pid cannot pass to another process unseen.
int OpenExactly(const ProcessId& id) {
  int pidfd = OpenPidfd(id.pid);
  const absl::StatusOr<uint64_t> start_time = StartTime(id.pid);
  if (!start_time.ok() || *start_time != id.start_time) CloseFd(&pidfd);
  return pidfd;
}

}  // namespace

// The state of the first thread does not tell: that one may be a zombie while another hangs in the
// kernel. The descriptor is readable once the last thread is gone.
bool IsRunning(const ProcessId& id) {
  int pidfd = OpenExactly(id);
  if (pidfd < 0) return false;
  pollfd ended{.fd = pidfd, .events = POLLIN, .revents = 0};
  const bool running = poll(&ended, 1, 0) == 0;
  CloseFd(&pidfd);
  return running;
}

bool KillIfRunning(const ProcessId& id) {
  int pidfd = OpenExactly(id);
  const bool running = pidfd >= 0 && IsRunning(id);
  const bool killed = running && syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0) == 0;
  CloseFd(&pidfd);
  return killed;
}

bool KillAndWait(const ProcessId& id, absl::Duration timeout) {
  int pidfd = OpenExactly(id);
  if (pidfd < 0) return true;
  syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
  const Deadline deadline(timeout);
  pollfd ended{.fd = pidfd, .events = POLLIN, .revents = 0};
  int ready = 0;
  do {
    ready = poll(&ended, 1, PollTimeout(deadline.Left()));
  } while (ready < 0 && errno == EINTR);
  CloseFd(&pidfd);
  return ready == 1;
}

}  // namespace vmkeep::process
