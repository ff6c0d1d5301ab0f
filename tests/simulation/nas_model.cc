#include "tests/simulation/nas_model.h"

#include "common/error.h"
#include "executor/worker/errors.h"
#include "tests/simulation/fiber.h"

#include <algorithm>

namespace vmkeep::sim {

namespace error = ::vmkeep::worker::error;

absl::Status Nas::Check(bool writes) const {
  if (gone) return error::RepositoryMarkerAbsent(id, /*mount_point=*/false);
  if (eio) {
    return MakeError(absl::StatusCode::kUnavailable, "REPOSITORY_IO_ERROR", "EIO from the model");
  }
  if (full && writes) {
    return MakeError(absl::StatusCode::kResourceExhausted, "REPOSITORY_FULL",
                     "ENOSPC from the model");
  }
  return absl::OkStatus();
}

absl::Status OnNas(Base& base, Nas& nas, bool writes, const WorkerLimits& limits,
                   const std::function<bool()>& cancelled,
                   const std::function<absl::Status()>& work) {
  Fiber::Pause(base.random.Between(absl::Milliseconds(1), absl::Milliseconds(200)));
  const absl::Duration began = base.time.now();
  const absl::Duration until = began + std::min(limits.deadline, limits.stall);
  while (nas.hung) {
    if (cancelled()) return error::Cancelled();
    if (base.time.now() >= until) {
      return limits.stall < limits.deadline ? error::CopyStalled(nas.id, limits.stall)
                                            : MakeError(absl::StatusCode::kDeadlineExceeded,
                                                        "WORKER_DEADLINE", "the model hangs");
    }
    Fiber::Pause(absl::Seconds(1));
  }
  if (cancelled()) return error::Cancelled();
  if (absl::Status status = nas.Check(writes); !status.ok()) return status;
  return work();
}

}  // namespace vmkeep::sim
