#include "executor/worker/jobs.h"

#include "common/error.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "executor/worker/copy.h"
#include "executor/worker/prepare_export.h"
#include "executor/worker/publish.h"
#include "executor/worker/remove.h"
#include "executor/worker/repository.h"
#include "executor/worker/seal_export.h"

namespace vmkeep::worker {
namespace {

// Whoever changes a repository says which one it must be; only a look may take any.
absl::Status CheckRepository(const v1::Repository& repository) {
  if (IsUuid(repository.id())) return absl::OkStatus();
  return InvalidArgument("repository.id", "must be the UUID that the repository's marker holds");
}

}  // namespace

absl::StatusOr<v1::Result> RunJob(const v1::Request& request, JobContext* context) {
  v1::Result result;
  switch (request.job_case()) {
    case v1::Request::kProbe: {
      VMKEEP_ASSIGN_OR_RETURN(*result.mutable_probe(), Probe(request.probe()));
      return result;
    }
    case v1::Request::kInitRepository: {
      VMKEEP_ASSIGN_OR_RETURN(*result.mutable_probe(), InitRepository(request.init_repository()));
      return result;
    }
    case v1::Request::kCopy: {
      VMKEEP_RETURN_IF_ERROR(CheckRepository(request.copy().repository()));
      VMKEEP_ASSIGN_OR_RETURN(*result.mutable_copy(), Copy(request.copy(), context));
      return result;
    }
    case v1::Request::kPublish: {
      VMKEEP_RETURN_IF_ERROR(CheckRepository(request.publish().repository()));
      VMKEEP_ASSIGN_OR_RETURN(*result.mutable_publish(), Publish(request.publish(), context));
      return result;
    }
    case v1::Request::kDiscard: {
      VMKEEP_RETURN_IF_ERROR(CheckRepository(request.discard().repository()));
      VMKEEP_ASSIGN_OR_RETURN(*result.mutable_remove(), Discard(request.discard(), context));
      return result;
    }
    case v1::Request::kScrub: {
      VMKEEP_RETURN_IF_ERROR(CheckRepository(request.scrub().repository()));
      VMKEEP_ASSIGN_OR_RETURN(*result.mutable_remove(), Scrub(request.scrub(), context));
      return result;
    }
    case v1::Request::kPrepareExport: {
      VMKEEP_RETURN_IF_ERROR(CheckRepository(request.prepare_export().repository()));
      VMKEEP_ASSIGN_OR_RETURN(*result.mutable_prepare_export(),
                              PrepareExport(request.prepare_export()));
      return result;
    }
    case v1::Request::kSealExport: {
      VMKEEP_RETURN_IF_ERROR(CheckRepository(request.seal_export().repository()));
      VMKEEP_ASSIGN_OR_RETURN(*result.mutable_seal_export(),
                              SealExport(request.seal_export(), context));
      return result;
    }
    case v1::Request::kCancel:
    case v1::Request::JOB_NOT_SET:
      break;
  }
  return InvalidArgument("job", "the first line must be a job");
}

}  // namespace vmkeep::worker
