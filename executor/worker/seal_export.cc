#include "executor/worker/seal_export.h"

namespace vmkeep::worker {

absl::StatusOr<v1::SealExportResult> SealExport(const v1::SealExport&, JobContext*) {
  return absl::UnimplementedError("SealExport is not built yet");
}

}  // namespace vmkeep::worker
