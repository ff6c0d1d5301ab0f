// vmkeep-worker: one job below a repository's mount. A Request line on stdin, Response lines on
// stdout; see worker.proto.
#include "executor/worker/jobs.h"
#include "executor/worker/session.h"
#include "executor/worker/stdio.h"

int main() {
  const vmkeep::worker::Stdio stdio = vmkeep::worker::PrepareStdio();
  return vmkeep::worker::Session(stdio.in, stdio.out).Run(vmkeep::worker::RunJob);
}
