#include "executor/worker/prepare_export.h"

#include "common/fault_point/fault_point.h"
#include "common/fs/files.h"
#include "common/manifest/manifest.h"
#include "common/status_macros.h"
#include "executor/worker/repository.h"

#include "absl/strings/str_cat.h"

namespace vmkeep::worker {
namespace {

absl::Status MakeStaging(const RepositoryRoot& root, const std::string& incoming_name) {
  VMKEEP_ASSIGN_OR_RETURN(const fs::Fd incoming, root.Incoming());
  VMKEEP_ASSIGN_OR_RETURN(const fs::Fd folder, fs::MakeDirs(incoming, incoming_name, 0700));
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.prepare-export.remove.before"));
  VMKEEP_RETURN_IF_ERROR(fs::RemoveTree(folder, kExportStaging).status());
  VMKEEP_RETURN_IF_ERROR(fs::RemoveTree(folder, manifest::kExportFolder).status());
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.prepare-export.make.before"));
  VMKEEP_RETURN_IF_ERROR(fs::MakeDirs(folder, kExportStaging, 0700).status());
  VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.prepare-export.make.after"));
  // Also when they were there already: a killed run may have made them without.
  VMKEEP_RETURN_IF_ERROR(fs::Sync(folder, incoming_name));
  return fs::Sync(incoming, ".incoming");
}

}  // namespace

absl::StatusOr<v1::PrepareExportResult> PrepareExport(const v1::PrepareExport& job) {
  VMKEEP_RETURN_IF_ERROR(CheckIncomingName(job.incoming()));
  VMKEEP_ASSIGN_OR_RETURN(const RepositoryRoot root, RepositoryRoot::Open(job.repository()));
  VMKEEP_RETURN_IF_ERROR(root.Wrap(MakeStaging(root, job.incoming())));
  v1::PrepareExportResult result;
  result.set_folder(fs::Join(
      root.path(), absl::StrCat("vmkeep/.incoming/", job.incoming(), "/", kExportStaging)));
  return result;
}

}  // namespace vmkeep::worker
