#ifndef VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_VM_LOOK_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_VM_LOOK_H_

#include "executor/hypervisor/hypervisor.h"
#include "vmkeep/hyperv/v1/script.pb.h"

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <string>

// What a script says of a VM, as the task engine has it: pure. No path is opened here; they are of
// Windows, whatever this runs on.
namespace vmkeep::executor::hyperv {

namespace wire = vmkeep::hyperv::v1;

// True for "C:\a", "\\server\share\a" (so also "\\?\C:\a"), and for "/a", which a stand-in for a
// host has. "C:a" and "\a" are relative: to a folder, to a drive.
bool IsAbsolutePath(absl::string_view path);
// "vhdx" of .vhdx and .avhdx, "vhd" of .vhd and .avhd, in any case; empty of all else.
std::string FormatOf(absl::string_view path);

// Running, Off and Saved, Paused; what is between them, or ill, is kUnknown.
PowerState PowerOf(absl::string_view state);

// HYPERVISOR_ERROR when its id is no GUID.
absl::StatusOr<VmSummary> SummaryOf(const wire::Vm& vm);
// CANNOT_BACK_UP, with a remedy, or VM_BUSY: see Hypervisor::Describe(). Targets are "scsi0x1": the
// controller, its number, the place there.
absl::StatusOr<VmDescription> DescriptionOf(const wire::Vm& vm);

}  // namespace vmkeep::executor::hyperv

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_HYPERV_VM_LOOK_H_
