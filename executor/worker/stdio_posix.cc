#include "executor/worker/stdio.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace vmkeep::worker {

Stdio PrepareStdio() {
  signal(SIGPIPE, SIG_IGN);  // a parent that is gone is seen at stdin
  umask(0077);
  return {.in = STDIN_FILENO, .out = STDOUT_FILENO};
}

fs::Fd Duplicate(fs::NativeFd stream) { return fs::Fd(fcntl(stream, F_DUPFD_CLOEXEC, 0)); }

size_t ReadSome(fs::NativeFd in, std::span<char> into) {
  ssize_t got = 0;
  do {
    got = read(in, into.data(), into.size());
  } while (got < 0 && errno == EINTR);
  return got > 0 ? static_cast<size_t>(got) : 0;
}

bool WriteAll(fs::NativeFd out, absl::string_view text) {
  while (!text.empty()) {
    const ssize_t put = write(out, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    text.remove_prefix(static_cast<size_t>(put));
  }
  return true;
}

void EndProcess(int status) { _exit(status); }

}  // namespace vmkeep::worker
