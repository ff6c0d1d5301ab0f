// vmkeep-worker: one job below a repository's mount. A Request line on stdin, Response lines on
// stdout; see worker.proto.
#include "executor/worker/jobs.h"
#include "executor/worker/session.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

int main() {
  signal(SIGPIPE, SIG_IGN);  // a parent that is gone is seen at stdin
  umask(0077);
  return vmkeep::worker::Session(STDIN_FILENO, STDOUT_FILENO).Run(vmkeep::worker::RunJob);
}
