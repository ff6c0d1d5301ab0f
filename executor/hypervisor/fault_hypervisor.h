#ifndef VMKEEP_EXECUTOR_HYPERVISOR_FAULT_HYPERVISOR_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_FAULT_HYPERVISOR_H_

#include "executor/hypervisor/hypervisor.h"

#include <memory>

namespace vmkeep::executor {

// The same hypervisor with a fault point before and after every verb that has an effect,
// "hypervisor.VERB.before" and ".after"; itself where fault points are not built in. After a verb
// that failed there is no point.
std::unique_ptr<Hypervisor> WithFaultPoints(std::unique_ptr<Hypervisor> hypervisor);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_FAULT_HYPERVISOR_H_
