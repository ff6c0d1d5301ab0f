#include "tests/unit/vmkeepctl/child.h"

#include <fcntl.h>
#include <pty.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace vmkeep::ctl {
namespace {

struct Pipe {
  int ours;
  int theirs;
};

Pipe MakePipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) std::abort();
  return {ends[0], ends[1]};
}

Pipe MakeTerminal() {
  Pipe ends{};
  winsize size{};
  size.ws_col = 80;
  size.ws_row = 24;
  if (openpty(&ends.ours, &ends.theirs, nullptr, nullptr, &size) != 0) std::abort();
  fcntl(ends.ours, F_SETFD, FD_CLOEXEC);
  fcntl(ends.theirs, F_SETFD, FD_CLOEXEC);
  return ends;
}

// Until the other end is closed; a terminal says EIO then.
void ReadAll(int fd, std::string& text) {
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t count = read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    text.append(buffer.data(), static_cast<size_t>(count));
  }
  close(fd);
}

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Child::Child(const std::vector<std::string>& argv, const std::vector<std::string>& environment,
             bool terminal) {
  const Pipe out = terminal ? MakeTerminal() : MakePipe();
  const Pipe err = terminal ? out : MakePipe();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out.theirs, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.theirs, STDERR_FILENO);
  std::vector<char*> arguments = Pointers(argv);
  std::vector<char*> variables = Pointers(environment);
  if (posix_spawn(&pid_, argv[0].c_str(), &actions, nullptr, arguments.data(), variables.data()) !=
      0)
    std::abort();
  posix_spawn_file_actions_destroy(&actions);
  close(out.theirs);
  readers_.emplace_back([this, fd = out.ours] { ReadAll(fd, result_.out); });
  if (terminal) return;
  close(err.theirs);
  readers_.emplace_back([this, fd = err.ours] { ReadAll(fd, result_.err); });
}

Child::~Child() {
  if (pid_ > 0) {
    Signal(SIGKILL);
    Wait();
  }
}

void Child::Signal(int signal) const { kill(pid_, signal); }

ChildResult Child::Wait() {
  for (std::thread& reader : readers_) reader.join();
  readers_.clear();
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  result_.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result_;
}

}  // namespace vmkeep::ctl
