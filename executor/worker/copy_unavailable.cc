#include "executor/worker/copy.h"
#include "executor/worker/errors.h"

namespace vmkeep::worker {

absl::StatusOr<v1::CopyResult> Copy(const v1::Copy&, JobContext*) {
  return error::CopyUnavailable();
}

}  // namespace vmkeep::worker
