#ifndef VMKEEP_TOOLS_VMKEEPCTL_TERMINAL_H_
#define VMKEEP_TOOLS_VMKEEPCTL_TERMINAL_H_

#include "tools/vmkeepctl/progress.h"

#include <cstddef>

// What the process has around it: terminals and signals.
namespace vmkeep::ctl {

// True when `fd` is a terminal that can move its cursor.
bool IsLiveTerminal(int fd);

struct TerminalSize {
  size_t columns = 80;
  size_t rows = 24;
};
// 80 by 24 when `fd` does not say.
TerminalSize SizeOf(int fd);

// UTF-8 unless the environment names another charset.
Charset TerminalCharset();

// From here on SIGINT and SIGTERM only set a flag, once: the next signal ends the process as usual.
void CatchInterrupts();
bool WasInterrupted();

}  // namespace vmkeep::ctl

#endif  // VMKEEP_TOOLS_VMKEEPCTL_TERMINAL_H_
