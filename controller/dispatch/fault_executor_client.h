#ifndef VMKEEP_CONTROLLER_DISPATCH_FAULT_EXECUTOR_CLIENT_H_
#define VMKEEP_CONTROLLER_DISPATCH_FAULT_EXECUTOR_CLIENT_H_

#include "controller/dispatch/executor_client.h"

namespace vmkeep::controller {

// Dials as `dial` does; the clients have a fault point before and after each call that has an
// effect on the host, "dispatch.CALL.before" and ".after" (the answer is there). Itself where fault
// points are not built in.
ExecutorClientFactory WithFaultPoints(ExecutorClientFactory dial);

}  // namespace vmkeep::controller

#endif  // VMKEEP_CONTROLLER_DISPATCH_FAULT_EXECUTOR_CLIENT_H_
