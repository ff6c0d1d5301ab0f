#ifndef VMKEEP_EXECUTOR_WORKER_REPOSITORY_H_
#define VMKEEP_EXECUTOR_WORKER_REPOSITORY_H_

#include "common/fs/fd.h"
#include "common/fs/files.h"
#include "executor/worker/marker.h"
#include "vmkeep/worker/v1/worker.pb.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <optional>
#include <string>
#include <utility>

// A repository on its mount:
//   <root>/.vmkeep-repository            the marker: JSON with the repository's UUID
//   <root>/vmkeep/<vm uuid>/<backup id>/  published backups
//   <root>/vmkeep/.incoming/<task>.<epoch>/  work
//   <root>/vmkeep/.scrub/<vm uuid>.<backup id>/  on their way out
namespace vmkeep::worker {

// An open repository whose marker was proven: without it a job would fill the host's own disk when
// the mount is missing. Everything below is reached through this one descriptor. Thread-safe after
// Open().
class RepositoryRoot {
 public:
  // Proves the marker; `wanted.id` empty accepts any. Errors: errors.h, REPOSITORY_*. Writes
  // nothing.
  static absl::StatusOr<RepositoryRoot> Open(const v1::Repository& wanted);

  const std::string& path() const { return path_; }
  const std::string& id() const { return id_; }

  // Folders of the layout, made when absent. Errors are the repository's.
  absl::StatusOr<fs::Fd> Incoming() const;
  absl::StatusOr<fs::Fd> Scrub() const;
  absl::StatusOr<fs::Fd> Vm(const std::string& vm_uuid) const;
  // A VM's folder; nothing when it has none. Makes nothing.
  absl::StatusOr<std::optional<fs::Fd>> FindVm(const std::string& vm_uuid) const;
  // Flushed. With its last backup the VM leaves no trace; one with backups stays.
  absl::Status RemoveVmIfEmpty(const std::string& vm_uuid) const;
  absl::StatusOr<fs::Space> Space() const;

  // An error of common/fs as one of this repository.
  absl::Status Wrap(const absl::Status& status) const;

 private:
  RepositoryRoot(std::string path, std::string id, fs::Fd dir)
      : path_(std::move(path)), id_(std::move(id)), dir_(std::move(dir)) {}
  absl::StatusOr<fs::Fd> Folder(const std::string& below) const;

  std::string path_;
  std::string id_;
  fs::Fd dir_;
};

// The jobs that look at the repository itself; see worker.proto.
absl::StatusOr<v1::ProbeResult> Probe(const v1::Probe& job);
absl::StatusOr<v1::ProbeResult> InitRepository(const v1::InitRepository& job);

// "<task id>.<epoch>": a UUID, a point, a positive number.
bool IsIncomingName(absl::string_view name);
// INVALID_ARGUMENT unless `name` may name a folder below .incoming.
absl::Status CheckIncomingName(absl::string_view name);

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_REPOSITORY_H_
