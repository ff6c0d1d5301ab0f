#include "executor/worker_client/repository_guard.h"

#include "common/error.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "executor/worker_client/errors.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include <algorithm>

namespace vmkeep::executor {
namespace {

using worker::v1::Request;
using worker::v1::Result;

const worker::v1::Repository& RepositoryIn(const Request& request) {
  switch (request.job_case()) {
    case Request::kProbe:
      return request.probe().repository();
    case Request::kInitRepository:
      return request.init_repository().repository();
    case Request::kCopy:
      return request.copy().repository();
    case Request::kPublish:
      return request.publish().repository();
    case Request::kDiscard:
      return request.discard().repository();
    case Request::kScrub:
      return request.scrub().repository();
    case Request::kPrepareExport:
      return request.prepare_export().repository();
    case Request::kSealExport:
      return request.seal_export().repository();
    default:
      return worker::v1::Repository::default_instance();
  }
}

bool IsHang(const absl::Status& status) {
  const std::string reason = ErrorReason(status);
  return reason == "COPY_STALLED" || reason == "WORKER_DEADLINE";
}

// A probe's words are the repository's health as they are, and need no counting.
bool IsFault(const Request& request, const absl::Status& status) {
  const bool asks = request.has_probe() || request.has_init_repository();
  return !asks && absl::StartsWith(ErrorReason(status), "REPOSITORY_");
}

}  // namespace

absl::StatusOr<Result> RepositoryGuard::Run(const Request& request, absl::Duration deadline,
                                            absl::Duration stall, const std::stop_token& stop,
                                            const Hooks& hooks) {
  const std::string root = RepositoryIn(request).root();
  VMKEEP_RETURN_IF_ERROR(Enter(request, root));
  process::ProcessId process;
  Hooks noting = hooks;
  noting.on_started = [&](pid_t pid, uint64_t start_time) {
    process = {pid, start_time};
    if (hooks.on_started) hooks.on_started(pid, start_time);
  };
  absl::StatusOr<Result> result = worker_.Run(request, deadline, stall, stop, noting);
  if (Leave(request, root, process, result.status())) {
    log::Warning("repository_ill", {{"root", root}, {"error", result.status().message()}});
    if (ill_) ill_(root);
  }
  return result;
}

void RepositoryGuard::Adopt(const std::string& root, const process::ProcessId& process) {
  MutexLock lock(&mu_);
  Books& books = books_[root];
  books.hanging.push_back({process, /*probe=*/false});
  books.hung = true;
  books.last_fault = clock_.Monotonic();
  books.why = "a worker of an executor before this one hangs there";
}

RepositoryGuard::Look RepositoryGuard::LookAt(const std::string& root) {
  MutexLock lock(&mu_);
  Books& books = books_[root];
  Forget(books);
  Look look;
  look.hanging = static_cast<int>(books.hanging.size());
  look.ill = IsIll(books);
  if (look.ill) {
    const std::string what = books.hung ? std::string("a job hung there")
                                        : absl::StrCat(books.faults, " jobs in a row failed there");
    look.message = absl::StrCat(what, "; the last error: ", books.why,
                                " It is used again after a probe that goes well, ",
                                absl::FormatDuration(limits_.rest), " after that at the earliest.");
  }
  if (look.hanging > 0) {
    absl::StrAppend(
        &look.message, look.message.empty() ? "" : " ", look.hanging,
        look.hanging == 1 ? " vmkeep-worker process hangs" : " vmkeep-worker processes hang",
        " there and cannot be killed.");
  }
  return look;
}

void RepositoryGuard::Forget(Books& books) {
  std::erase_if(books.hanging,
                [](const Hanging& each) { return !process::IsRunning(each.process); });
}

absl::Status RepositoryGuard::Enter(const Request& request, const std::string& root) {
  MutexLock lock(&mu_);
  Books& books = books_[root];
  Forget(books);
  const int hanging = static_cast<int>(books.hanging.size());
  const bool full = hanging > 0 && hanging + books.running >= limits_.max_hanging;
  const bool probe_hangs =
      request.has_probe() && std::any_of(books.hanging.begin(), books.hanging.end(),
                                         [](const Hanging& each) { return each.probe; });
  if (full || probe_hangs || (request.has_discard() && books.hung)) {
    return error::RepositoryStuck(root, hanging);
  }
  ++books.running;
  return absl::OkStatus();
}

bool RepositoryGuard::Leave(const Request& request, const std::string& root,
                            const process::ProcessId& process, const absl::Status& status) {
  const bool hangs = process.pid != 0 && process::IsRunning(process);
  MutexLock lock(&mu_);
  Books& books = books_[root];
  --books.running;
  if (hangs) books.hanging.push_back({process, request.has_probe()});
  if (status.ok()) {
    NoteGood(request, books);
    return false;
  }
  const bool hung = hangs || IsHang(status);
  if (!hung && !IsFault(request, status)) return false;
  const bool was_ill = IsIll(books);
  books.hung = books.hung || hung;
  ++books.faults;
  books.last_fault = clock_.Monotonic();
  books.why = std::string(status.message());
  return !was_ill && IsIll(books);
}

void RepositoryGuard::NoteGood(const Request& request, Books& books) const {
  const bool rested = clock_.Monotonic() - books.last_fault >= limits_.rest;
  const bool writes = request.has_copy() || request.has_publish();
  // Half-open: of an ill one only a probe after the rest counts, or somebody who initialised it.
  if (IsIll(books) ? request.has_init_repository() || (request.has_probe() && rested) : writes) {
    books.faults = 0;
    books.hung = false;
  }
}

}  // namespace vmkeep::executor
