#include "executor/worker/repository.h"

#include "common/error.h"
#include "common/fs/errors.h"
#include "common/fs/files.h"
#include "common/fs/output_file.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "executor/worker/errors.h"
#include "executor/worker/target.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include <cerrno>
#include <vector>

namespace vmkeep::worker {
namespace {

constexpr size_t kProbeBytes = 4096;
constexpr char kProbePrefix[] = ".probe-";
constexpr absl::Duration kStaleProbe = absl::Hours(1);

absl::StatusOr<fs::Fd> OpenRootFolder(const std::string& path) {
  if (!fs::IsAbsolute(path)) return InvalidArgument("repository.root", "must be an absolute path");
  absl::StatusOr<fs::Fd> dir = fs::OpenRoot(path);
  if (dir.ok()) return dir;
  if (dir.status().code() == absl::StatusCode::kNotFound) {
    return error::RepositoryNotMounted(path, "there is no such folder");
  }
  return error::AtRepository(dir.status(), path);
}

// The id in the marker. REPOSITORY_MARKER_ABSENT when there is none.
absl::StatusOr<std::string> ReadMarker(const fs::Fd& dir, const std::string& path) {
  const absl::StatusOr<std::string> text = fs::ReadFile(dir, kMarker, kMaxMarkerBytes);
  if (text.ok()) return ParseMarker(*text, path);
  if (text.status().code() == absl::StatusCode::kNotFound) {
    const absl::StatusOr<bool> mount_point = fs::IsMountPoint(dir);
    return error::RepositoryMarkerAbsent(path, mount_point.ok() && *mount_point);
  }
  if (fs::error::Errno(text.status()) == 0 || fs::error::Errno(text.status()) == ELOOP) {
    return error::RepositoryMarkerInvalid(path, std::string(text.status().message()));
  }
  return error::AtRepository(text.status(), path);
}

// A marker under a name of its own, then linked to the final one: of two hosts that do this at once
// one wins, and nobody ever sees half a marker.
absl::Status WriteMarker(const fs::Fd& dir, const std::string& id) {
  const std::string beside = absl::StrCat(kMarker, ".", NewUuid4());
  const std::string text = MarkerText(id, absl::Now());
  VMKEEP_ASSIGN_OR_RETURN(fs::OutputFile file, fs::OutputFile::Create(dir, beside, 0444));
  absl::Status status = file.WriteAt(0, text);
  if (status.ok()) status = file.Finish();
  if (status.ok()) {
    const absl::Status linked = fs::Link(dir, beside, kMarker);
    // No hard links there (some FUSE and SMB mounts): the rename is as durable, only not safe from
    // a second host.
    if (!linked.ok() && fs::error::Errno(linked) != EEXIST)
      status = fs::Rename(dir, beside, dir, kMarker);
  }
  status.Update(fs::Unlink(dir, beside));
  if (status.ok()) status = fs::Sync(dir, kMarker);
  return status;
}

// Probes that were killed, as happens on storage that hangs, leave their file; the clock is the
// storage server's own.
absl::Status RemoveStaleProbes(const fs::Fd& incoming, absl::Time now) {
  VMKEEP_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs::List(incoming));
  for (const std::string& name : names) {
    if (!absl::StartsWith(name, kProbePrefix)) continue;
    const absl::StatusOr<fs::FileInfo> found = fs::GetInfoBeneath(incoming, name);
    if (found.ok() && found->modified < now - kStaleProbe)
      VMKEEP_RETURN_IF_ERROR(fs::Unlink(incoming, name));
  }
  return absl::OkStatus();
}

// Write, flush, rename, remove: what a backup needs to be able to do.
absl::Status WriteProbeFile(const fs::Fd& incoming) {
  const std::string name = absl::StrCat(kProbePrefix, NewUuid4());
  const std::string renamed = absl::StrCat(name, ".renamed");
  absl::StatusOr<fs::FileInfo> found;
  VMKEEP_ASSIGN_OR_RETURN(fs::OutputFile file, fs::OutputFile::Create(incoming, name, 0600));
  absl::Status status = file.WriteAt(0, std::string(kProbeBytes, 'p'));
  if (status.ok()) status = file.Finish();
  if (status.ok()) status = fs::Rename(incoming, name, incoming, renamed);
  if (status.ok()) {
    found = fs::GetInfoBeneath(incoming, renamed);
    status = found.status();
  }
  // Both names whatever happened: a probe leaves nothing behind.
  status.Update(fs::Unlink(incoming, name));
  status.Update(fs::Unlink(incoming, renamed));
  if (status.ok()) status = fs::Sync(incoming, name);
  if (status.ok()) status = RemoveStaleProbes(incoming, found->modified);
  return status;
}

absl::StatusOr<v1::ProbeResult> ProbeOpened(const RepositoryRoot& root) {
  VMKEEP_ASSIGN_OR_RETURN(const fs::Fd incoming, root.Incoming());
  VMKEEP_RETURN_IF_ERROR(root.Wrap(WriteProbeFile(incoming)));
  VMKEEP_ASSIGN_OR_RETURN(const fs::Space space, root.Space());
  v1::ProbeResult result;
  result.set_id(root.id());
  result.set_total_bytes(space.total_bytes);
  result.set_free_bytes(space.free_bytes);
  result.set_target(LookAtTarget(root.path()).words);
  return result;
}

absl::StatusOr<v1::ProbeResult> Look(const v1::Probe& job) {
  VMKEEP_ASSIGN_OR_RETURN(const RepositoryRoot root, RepositoryRoot::Open(job.repository()));
  return ProbeOpened(root);
}

absl::StatusOr<v1::ProbeResult> Init(const v1::InitRepository& job) {
  const std::string& path = job.repository().root();
  std::string id = job.repository().id();
  if (id.empty()) id = NewUuid4();
  if (!IsUuid(id))
    return InvalidArgument("repository.id", "must be a UUID in lower case, or empty for a new one");
  VMKEEP_ASSIGN_OR_RETURN(const fs::Fd dir, OpenRootFolder(path));
  const absl::StatusOr<std::string> found = ReadMarker(dir, path);
  if (!found.ok()) {
    if (ErrorReason(found.status()) != "REPOSITORY_MARKER_ABSENT") return found.status();
    const absl::StatusOr<bool> mount_point = fs::IsMountPoint(dir);
    if (!mount_point.ok()) return error::AtRepository(mount_point.status(), path);
    // "/" is a mount point too, and exactly the disk that must not be filled.
    if (!job.allow_plain_directory() &&
        (!*mount_point || path.find_first_not_of('/') == std::string::npos)) {
      return error::RepositoryNotMounted(path, "it is an ordinary folder of the host's own disk");
    }
    VMKEEP_RETURN_IF_ERROR(error::AtRepository(WriteMarker(dir, id), path));
  }
  v1::Repository any;
  any.set_root(path);
  VMKEEP_ASSIGN_OR_RETURN(const RepositoryRoot root, RepositoryRoot::Open(any));
  VMKEEP_RETURN_IF_ERROR(root.Scrub().status());
  return ProbeOpened(root);
}

// An error tells what is behind the path too: of a mount that is not there, the host's own disk.
absl::StatusOr<v1::ProbeResult> WithTarget(absl::StatusOr<v1::ProbeResult> result,
                                           const std::string& path) {
  if (result.ok() || !absl::StartsWith(ErrorReason(result.status()), "REPOSITORY_")) return result;
  const Target target = LookAtTarget(path);
  return target.words.empty() ? result.status()
                              : error::WithTarget(result.status(), target.words, target.remedy);
}

}  // namespace

absl::StatusOr<RepositoryRoot> RepositoryRoot::Open(const v1::Repository& wanted) {
  VMKEEP_ASSIGN_OR_RETURN(fs::Fd dir, OpenRootFolder(wanted.root()));
  VMKEEP_ASSIGN_OR_RETURN(std::string id, ReadMarker(dir, wanted.root()));
  if (!wanted.id().empty() && id != wanted.id())
    return error::RepositoryMismatch(wanted.root(), wanted.id(), id);
  return RepositoryRoot(wanted.root(), std::move(id), std::move(dir));
}

absl::StatusOr<fs::Fd> RepositoryRoot::Folder(const std::string& below) const {
  absl::StatusOr<fs::Fd> folder = fs::MakeDirs(dir_, absl::StrCat("vmkeep/", below), 0700);
  if (!folder.ok()) return Wrap(folder.status());
  return folder;
}

absl::StatusOr<fs::Fd> RepositoryRoot::Incoming() const { return Folder(".incoming"); }
absl::StatusOr<fs::Fd> RepositoryRoot::Scrub() const { return Folder(".scrub"); }
absl::StatusOr<fs::Fd> RepositoryRoot::Vm(const std::string& vm_uuid) const {
  if (!IsUuid(vm_uuid)) return InvalidArgument("vm_uuid", "must be a UUID in lower case");
  return Folder(vm_uuid);
}

absl::Status RepositoryRoot::Wrap(const absl::Status& status) const {
  return error::AtRepository(status, path_);
}

absl::StatusOr<std::optional<fs::Fd>> RepositoryRoot::FindVm(const std::string& vm_uuid) const {
  absl::StatusOr<fs::Fd> folder = fs::OpenDir(dir_, absl::StrCat("vmkeep/", vm_uuid));
  if (folder.ok()) return *std::move(folder);
  if (fs::error::Errno(folder.status()) == ENOENT) return std::nullopt;
  return Wrap(folder.status());
}

absl::Status RepositoryRoot::RemoveVmIfEmpty(const std::string& vm_uuid) const {
  VMKEEP_ASSIGN_OR_RETURN(const fs::Fd backups, Folder(""));
  VMKEEP_RETURN_IF_ERROR(Wrap(fs::RemoveIfEmpty(backups, vm_uuid)));
  return Wrap(fs::Sync(backups, "vmkeep"));
}

absl::StatusOr<fs::Space> RepositoryRoot::Space() const {
  absl::StatusOr<fs::Space> space = fs::GetSpace(dir_);
  if (!space.ok()) return Wrap(space.status());
  return space;
}

absl::StatusOr<v1::ProbeResult> Probe(const v1::Probe& job) {
  return WithTarget(Look(job), job.repository().root());
}

absl::StatusOr<v1::ProbeResult> InitRepository(const v1::InitRepository& job) {
  return WithTarget(Init(job), job.repository().root());
}

bool IsIncomingName(absl::string_view name) {
  if (name.size() < 38 || name.size() > 36 + 1 + 19 || !IsUuid(name.substr(0, 36)) ||
      name[36] != '.')
    return false;
  const absl::string_view epoch = name.substr(37);
  return epoch[0] != '0' && epoch.find_first_not_of("0123456789") == absl::string_view::npos;
}

absl::Status CheckIncomingName(absl::string_view name) {
  return IsIncomingName(name)
             ? absl::OkStatus()
             : InvalidArgument("incoming",
                               "must be <task id>.<epoch>: a UUID and a positive number");
}

}  // namespace vmkeep::worker
