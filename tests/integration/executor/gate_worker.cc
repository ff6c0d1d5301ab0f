// A worker for tests: holds the jobs whose request line contains the text in the file
// $VMKEEP_TEST_GATE, telling progress meanwhile, until that file is gone; then becomes the worker
// $VMKEEP_TEST_WORKER. While it holds one there is a file $VMKEEP_TEST_GATE.held, of which the test
// gets rid. A cancel, or the end of stdin, ends it as it ends a worker.

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

namespace {

std::string ReadLine() {
  std::string line;
  char c = 0;
  while (read(STDIN_FILENO, &c, 1) == 1) {
    line.push_back(c);
    if (c == '\n') break;
  }
  return line;
}

// The text of the gate; empty when it is open.
std::string Gate() {
  const char* path = std::getenv("VMKEEP_TEST_GATE");
  std::ifstream in(path == nullptr ? "" : path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

bool IsHeld(const std::string& line) {
  const std::string gate = Gate();
  return !gate.empty() && line.find(gate) != std::string::npos;
}

// The request is here: whatever becomes of the executor now, this process has its job.
void TellHeld() {
  const char* path = std::getenv("VMKEEP_TEST_GATE");
  std::ofstream out(std::string(path == nullptr ? "" : path) + ".held");
}

// Nonzero: the worker is to end.
int Hold(const std::string& line) {
  if (IsHeld(line)) TellHeld();
  for (long done = 0; IsHeld(line); done += 4096) {
    std::printf("{\"progress\":{\"bytes_done\":\"%ld\",\"bytes_total\":\"67108864\"}}\n", done);
    std::fflush(stdout);
    pollfd in = {STDIN_FILENO, POLLIN, 0};
    if (poll(&in, 1, 50) > 0) {
      std::printf(
          "{\"error\":{\"code\":1,\"reason\":\"CANCELLED\",\"message\":\"held, then "
          "cancelled\"}}\n");
      std::fflush(stdout);
      return 1;
    }
  }
  return 0;
}

// Feeds `line`, and what still comes from stdin, to this process's next program.
void Feed(const std::string& line) {
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) std::exit(2);
  if (fork() == 0) {
    close(pipe_ends[0]);
    close(STDOUT_FILENO);
    bool open = write(pipe_ends[1], line.data(), line.size()) == static_cast<ssize_t>(line.size());
    std::array<char, 4096> buffer = {};
    while (open) {
      const ssize_t count = read(STDIN_FILENO, buffer.data(), buffer.size());
      open = count > 0 && write(pipe_ends[1], buffer.data(), count) == count;
    }
    _exit(0);
  }
  close(pipe_ends[1]);
  dup2(pipe_ends[0], STDIN_FILENO);
  close(pipe_ends[0]);
}

}  // namespace

int main() {
  const std::string line = ReadLine();
  if (const int failed = Hold(line); failed != 0) return failed;
  const char* worker = std::getenv("VMKEEP_TEST_WORKER");
  if (worker == nullptr) return 2;
  Feed(line);
  execl(worker, worker, static_cast<char*>(nullptr));
  return 2;
}
