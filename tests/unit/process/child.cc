// A child for process_test, the same on both systems: child MODE [ARGUMENT...]
//
//   arguments X...    one a line, in brackets
//   print TEXT        and no more
//   environment N...  the variables with these names, one a line
//   cat               stdin to stdout, to the end
//   sleep             for a minute, and reads nothing
//   exit N
//   fail TEXT         TEXT on stderr, exit 2
//   stderr N TEXT     N times 'x' and TEXT on stderr, then "done" on stdout
//   endless           zeros on stdout
//   mute              closes stdout and sleeps
//   family            starts a child that sleeps, prints its pid, sleeps
//   plain-family      the same, without Spawn() of common/process; Windows
//   count NAME        how many variables have this name in whatever case; Windows
//   family-exit       the same, and exits 0 at once
#include "common/clock.h"
#include "common/process/process.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#ifdef _WIN32
#include "common/win32/text.h"

#include <windows.h>
#include <fcntl.h>
#include <io.h>
#else
#include <fcntl.h>
#include <unistd.h>
#endif

namespace {

namespace process = vmkeep::process;

void Sleep60() { vmkeep::RealClock().WaitFor(absl::Seconds(60), {}); }

#ifdef _WIN32
std::vector<std::string> Arguments(int, char**) { return vmkeep::CommandLineArguments(); }

void BinaryStdio() {
  for (FILE* file : {stdin, stdout, stderr}) _setmode(_fileno(file), _O_BINARY);
}

// Without common/process, so in no job but the one that we are in.
int PlainFamily(const std::string& self) {
  std::string line = "\"" + self + "\" sleep";
  STARTUPINFOA startup = {};
  startup.cb = sizeof(startup);
  PROCESS_INFORMATION made = {};
  if (!CreateProcessA(nullptr, line.data(), nullptr, nullptr, FALSE, CREATE_NO_WINDOW, nullptr,
                      nullptr, &startup, &made)) {
    return 3;
  }
  std::printf("%lu %llu\n", made.dwProcessId,
              static_cast<unsigned long long>(
                  process::StartTime(static_cast<pid_t>(made.dwProcessId)).value_or(0)));
  std::fflush(stdout);
  Sleep60();
  return 0;
}

// How many variables have this name, in whatever case.
int CountVariables(const std::string& name) {
  int count = 0;
  char* const block = GetEnvironmentStringsA();
  for (const char* at = block; *at != '\0'; at += std::string(at).size() + 1) {
    if (_strnicmp(at, (name + "=").c_str(), name.size() + 1) == 0) ++count;
  }
  FreeEnvironmentStringsA(block);
  std::printf("%d\n", count);
  return 0;
}

std::string Variable(const std::string& name) {
  const std::wstring wide(name.begin(), name.end());
  std::wstring value(32767, L'\0');
  value.resize(GetEnvironmentVariableW(wide.c_str(), value.data(), 32767));
  return vmkeep::Narrow(value);
}
#else
int PlainFamily(const std::string&) { return 64; }
int CountVariables(const std::string&) { return 64; }
std::vector<std::string> Arguments(int argc, char** argv) { return {argv, argv + argc}; }
void BinaryStdio() {}
std::string Variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? "" : value;
}
#endif

int Cat() {
  std::vector<char> buffer(4096);
  while (true) {
    // A byte at least, and no more than there is: fread() alone would wait for a full buffer.
    const int first = std::getc(stdin);
    if (first == EOF) return 0;
    std::putc(first, stdout);
    if (first == '\n') std::fflush(stdout);
  }
}

int Family(const std::string& self, bool stay) {
  static std::unique_ptr<process::ChildProcess> child;
  auto made = process::Spawn({.argv = {self, "sleep"}, .with_stdin = false});
  if (!made.ok()) return 3;
  child = *std::move(made);
  std::printf("%lld %llu\n", static_cast<long long>(child->id().pid),
              static_cast<unsigned long long>(child->id().start_time));
  std::fflush(stdout);
  if (stay) Sleep60();
  std::_Exit(0);  // not its destructor, which would kill it
}

int Run(const std::vector<std::string>& args) {
  const std::string& mode = args.at(1);
  const std::vector<std::string> rest(args.begin() + 2, args.end());
  if (mode == "arguments") {
    for (const std::string& one : rest) std::printf("[%s]\n", one.c_str());
  } else if (mode == "print") {
    std::fputs(rest.at(0).c_str(), stdout);
  } else if (mode == "environment") {
    for (const std::string& one : rest) std::printf("%s\n", Variable(one).c_str());
  } else if (mode == "cat") {
    return Cat();
  } else if (mode == "sleep") {
    Sleep60();
  } else if (mode == "exit") {
    return std::stoi(rest.at(0));
  } else if (mode == "fail") {
    std::fputs(rest.at(0).c_str(), stderr);
    return 2;
  } else if (mode == "stderr") {
    const std::string text(std::stoul(rest.at(0)), 'x');
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fputs(rest.at(1).c_str(), stderr);
    std::fputs("done\n", stdout);
  } else if (mode == "endless") {
    const std::vector<char> zeros(1 << 16);
    while (std::fwrite(zeros.data(), 1, zeros.size(), stdout) == zeros.size()) continue;
  } else if (mode == "mute") {
    std::fclose(stdout);
#ifdef _WIN32
    CloseHandle(GetStdHandle(STD_OUTPUT_HANDLE));  // of no effect where fclose() has done it
#endif
    Sleep60();
  } else if (mode == "family" || mode == "family-exit") {
    return Family(args.at(0), mode == "family");
  } else if (mode == "plain-family") {
    return PlainFamily(args.at(0));
  } else if (mode == "count") {
    return CountVariables(rest.at(0));
  } else {
    return 64;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  BinaryStdio();
  const std::vector<std::string> args = Arguments(argc, argv);
  if (args.size() < 2) return 64;
  return Run(args);
}
