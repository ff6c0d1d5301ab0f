#include "executor/worker_client/errors.h"

#include "common/error.h"

#include "absl/strings/str_cat.h"

#include <string>

namespace vmkeep::executor::error {

absl::Status WorkerDeadline(absl::Duration after) {
  return MakeError(
      absl::StatusCode::kDeadlineExceeded, "WORKER_DEADLINE",
      absl::StrCat("the repository did not answer within ", absl::FormatDuration(after),
                   ". Check the storage server and the network to it."));
}

absl::Status CopyStalled(const worker::v1::Request& job, absl::Duration after) {
  const bool seal = job.has_seal_export();
  const std::string path = seal ? job.seal_export().incoming() : job.copy().source();
  return MakeError(absl::StatusCode::kDeadlineExceeded, "COPY_STALLED",
                   absl::StrCat(seal ? "reading back the export " : "copying ", path,
                                ": no byte moved for ", absl::FormatDuration(after),
                                ". Check the storage server and the network to it, then try "
                                "again."),
                   {{"path", path}});
}

absl::Status WorkerCancelled() {
  return MakeError(absl::StatusCode::kCancelled, "CANCELLED", "the job was cancelled.");
}

absl::Status WorkerDied(absl::string_view how) {
  return MakeError(absl::StatusCode::kUnavailable, "WORKER_DIED",
                   absl::StrCat("vmkeep-worker ended without an answer (", how,
                                "). Was it killed for want of memory? Try again."),
                   {{"how", std::string(how)}});
}

absl::Status WorkerProtocol(absl::string_view why) {
  return MakeError(absl::StatusCode::kInternal, "WORKER_PROTOCOL",
                   absl::StrCat("vmkeep-worker wrote something that is no answer: ", why,
                                ". Is it of the same version?"));
}

absl::Status RepositoryStuck(absl::string_view root, int hanging) {
  const std::string who =
      hanging == 0 ? std::string("the last job there hung, and no probe went well since")
      : hanging == 1
          ? std::string("a vmkeep-worker process hangs there and cannot be killed")
          : absl::StrCat(hanging, " vmkeep-worker processes hang there and cannot be killed");
  return MakeError(absl::StatusCode::kUnavailable, "REPOSITORY_STUCK",
                   absl::StrCat("repository ", root, ": ", who,
                                ", so this job was not begun. Check the storage server and the "
                                "network to it, then try again."),
                   {{"root", std::string(root)}, {"hanging", absl::StrCat(hanging)}});
}

absl::Status FromWorker(const worker::v1::Error& error) {
  const auto code = static_cast<absl::StatusCode>(error.code());
  if (error.code() <= 0 || error.code() > 16)
    return WorkerProtocol(absl::StrCat("error code ", error.code()));
  return MakeError(code, error.reason(), error.message(),
                   {error.metadata().begin(), error.metadata().end()});
}

}  // namespace vmkeep::executor::error
