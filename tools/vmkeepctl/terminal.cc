#include "tools/vmkeepctl/terminal.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <string>

namespace vmkeep::ctl {
namespace {

// Lock-free, so a signal handler may set it.
std::atomic<bool> interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free);

void OnSignal(int) { interrupted.store(true); }

}  // namespace

bool IsLiveTerminal(int fd) {
  const char* term = std::getenv("TERM");
  return isatty(fd) == 1 && (term == nullptr || absl::string_view(term) != "dumb");
}

TerminalSize SizeOf(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {};
  return {size.ws_col, size.ws_row};
}

Charset TerminalCharset() {
  // In the order of locale(7): the first that is set counts.
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string locale = absl::AsciiStrToLower(value);
    // "C" and "POSIX" say nothing about the terminal; containers have them beside terminals that
    // know UTF-8.
    const bool other = absl::StrContains(locale, '.') && !absl::StrContains(locale, "utf-8") &&
                       !absl::StrContains(locale, "utf8");
    return other ? Charset::kAscii : Charset::kUtf8;
  }
  return Charset::kUtf8;
}

void CatchInterrupts() {
  struct sigaction action{};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART | SA_RESETHAND;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM}) {
    // Ignored on purpose by whoever started us, such as a shell for its background jobs: leave it
    // so.
    struct sigaction before{};
    sigaction(signal, nullptr, &before);
    if (before.sa_handler != SIG_IGN) sigaction(signal, &action, nullptr);
  }
}

bool WasInterrupted() { return interrupted.load(); }

}  // namespace vmkeep::ctl
