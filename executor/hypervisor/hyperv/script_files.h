#ifndef VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_SCRIPT_FILES_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_SCRIPT_FILES_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include <map>
#include <string>

namespace vmkeep::executor::hyperv {

// File name -> SHA-256, lower-case hex.
using ScriptDigests = std::map<std::string, std::string>;

// The scripts of this build, as they were in scripts/ when it was configured.
ScriptDigests BuiltScripts();

// OK when every script that we run or that one of them reads is in `digests`, and in the folder
// exactly as its digest says. FAILED_PRECONDITION, SCRIPT_TAMPERED, which names the first that is
// not. Other files of the folder are not looked at: nothing runs them.
absl::Status CheckScripts(const std::string& folder, const ScriptDigests& digests);

// A file of the folder, which is named the Windows way or, for a stand-in, the POSIX way.
std::string ScriptPath(absl::string_view folder, absl::string_view file);

}  // namespace vmkeep::executor::hyperv

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_SCRIPT_FILES_H_
