#ifndef VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_ERROR_MAP_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_ERROR_MAP_H_

#include "vmkeep/hyperv/v1/script.pb.h"

#include "absl/status/status.h"

#include <string>

namespace vmkeep::executor::hyperv {

namespace wire = vmkeep::hyperv::v1;

// What a script was asked for: an error means one thing or another by it.
struct ScriptContext {
  std::string doing;     // in words: "list the VMs"
  std::string vm;        // as it was named; empty for all
  bool exports = false;  // it writes to a repository: a path that is gone is the repository's
};

// The error that a script's `error` line stands for: by its reason where that is the script's own,
// else by its code; never by its text, which is localised and only quoted. What stands for nothing
// known is HYPERVISOR_ERROR, with the code.
absl::Status FromScript(const wire::Error& error, const ScriptContext& context);

}  // namespace vmkeep::executor::hyperv

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_ERROR_MAP_H_
