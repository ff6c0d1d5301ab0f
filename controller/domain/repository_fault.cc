#include "controller/domain/repository_fault.h"

#include <algorithm>
#include <array>

namespace vmkeep::controller {
namespace {

constexpr std::array<absl::string_view, 18> kFaults = {
    "COPY_STALLED",  // nothing moved, or no answer came
    "EXPORT_STALLED",
    "WORKER_DEADLINE",
    "REPOSITORY_STUCK",
    "COPY_IN_USE",      // a worker that should have ended hangs there
    "REPOSITORY_FULL",  // at write, fsync or close
    "REPOSITORY_IO_ERROR",
    "REPOSITORY_NOT_WRITABLE",
    "REPOSITORY_NOT_MOUNTED",  // it is not there, or another one is
    "REPOSITORY_NOT_CONFIGURED",
    "REPOSITORY_MARKER_ABSENT",
    "REPOSITORY_MARKER_INVALID",
    "REPOSITORY_MISMATCH",
    "REPOSITORY_TAMPERED",
    "INCOMING_ABSENT",  // it lost what was flushed there
    "INCOMING_INCOMPLETE",
    "REPOSITORY_UNREACHABLE",  // for Hyper-V itself, which writes an export
    "EXPORT_ACCESS_DENIED",
};

}  // namespace

bool IsRepositoryFault(absl::string_view reason) {
  return std::find(kFaults.begin(), kFaults.end(), reason) != kFaults.end();
}

}  // namespace vmkeep::controller
