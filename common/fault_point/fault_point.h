#ifndef VMKEEP_COMMON_FAULT_POINT_FAULT_POINT_H_
#define VMKEEP_COMMON_FAULT_POINT_FAULT_POINT_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#ifndef VMKEEP_FAULT_POINTS
#error "link vmkeep::common_fault_point: it says whether there are fault points"
#endif

// A named place right before or right after a side effect, where tests/chaos holds a process to
// kill it, or makes the effect fail. Built in with the CMake option VMKEEP_FAULT_POINTS; without it
// all of this is an inline OK. Built in, nothing happens unless the environment names a folder,
// VMKEEP_FAULT_DIR (absolute). Then:
//
//   trace        each hit adds a line "PROGRAM PID POINT N KIND [ACTION]" in one write. N: the n-th
//                hit of this point in this process. KIND: fault or crash. ACTION: what was done.
//   plan         read at each hit; may be absent. A line "ACTION POINT N" is for the N-th hit since
//                the folder has no file hit.POINT.*, counted over all processes:
//     hold         makes held.POINT ("PROGRAM PID\n") and waits until it is gone, 60 s at most
//     fail-once    the N-th hit returns INJECTED_FAULT
//     fail         the N-th hit and all later ones return it
//   hit.POINT.N  the hits of a planned point that were counted
//
// A name is "place.verb.before" or ".after", from [a-z.-]. `key` tells apart what one place in the
// code does for many: the point is then "name:key", blanks in the key as '-'. A failing "after"
// point means that the effect happened and an error is reported. Thread-safe.
namespace vmkeep {

#if VMKEEP_FAULT_POINTS
inline constexpr bool kFaultPoints = true;
absl::Status FaultPoint(absl::string_view name, absl::string_view key = "");
// A place where an error would be none that can occur: it holds, and cannot fail.
void CrashPoint(absl::string_view name, absl::string_view key = "");
#else
inline constexpr bool kFaultPoints = false;
inline absl::Status FaultPoint(absl::string_view, absl::string_view = "") {
  return absl::OkStatus();
}
inline void CrashPoint(absl::string_view, absl::string_view = "") {}
#endif

// What --version says besides the version.
inline constexpr absl::string_view kFaultPointsNote =
    kFaultPoints ? " (built with fault points)" : "";

}  // namespace vmkeep

#endif  // VMKEEP_COMMON_FAULT_POINT_FAULT_POINT_H_
