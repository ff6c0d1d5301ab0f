#include "executor/worker/publish.h"

#include "common/digest/digest.h"
#include "common/error.h"
#include "common/fault_point/fault_point.h"
#include "common/fs/errors.h"
#include "common/fs/files.h"
#include "common/fs/output_file.h"
#include "common/manifest/manifest.h"
#include "common/status_macros.h"
#include "executor/worker/errors.h"
#include "executor/worker/export_tree.h"
#include "executor/worker/published.h"
#include "executor/worker/repository.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::worker {
namespace {

namespace pb = manifest::v1;

constexpr size_t kMaxSmallFileBytes = size_t{64} << 20;
constexpr char kListRole[] = "digest-list";

// Whether the backup holds an export.
bool IsSealed(const v1::Publish& job) {
  return !job.sealed_files().empty() ||
         std::any_of(job.manifest().disks().begin(), job.manifest().disks().end(),
                     [](const pb::Disk& disk) { return manifest::IsExportPath(disk.file()); });
}

absl::Status CheckJob(const v1::Publish& job) {
  VMKEEP_RETURN_IF_ERROR(CheckIncomingName(job.incoming()));
  const pb::Manifest& manifest = job.manifest();
  pb::Manifest with_sealed = manifest;
  with_sealed.mutable_files()->MergeFrom(job.sealed_files());
  std::vector<FieldViolation> violations = manifest::Check(with_sealed);
  const auto require = [&](bool ok, absl::string_view field, absl::string_view what) {
    if (!ok) violations.push_back({std::string(field), std::string(what)});
  };
  require(manifest.files().empty(), "manifest.files", "is filled by the worker");
  require(job.incoming() == absl::StrCat(manifest.task_id(), ".", manifest.epoch()), "incoming",
          "must be of the manifest's task and epoch");
  require(job.repository().id() == manifest.repository().id(), "repository.id",
          "must be the manifest's");
  for (const pb::File& file : job.sealed_files()) {
    require(manifest::IsExportPath(file.file()), "sealed_files.file", "must be a path in export/");
  }
  std::set<std::string> names;
  if (IsSealed(job)) names.insert(manifest::kExportFolder);
  for (const pb::Disk& disk : manifest.disks())
    names.insert({disk.file(), disk.digest().list_file()});
  for (const v1::SmallFile& file : job.small_files()) {
    require(manifest::IsPlainFileName(file.file()) && names.insert(file.file()).second,
            "small_files.file", "must be a plain name that occurs once");
  }
  return violations.empty() ? absl::OkStatus() : InvalidArgument(violations);
}

// Length and identity of a regular file in the folder, opened.
struct Opened {
  fs::Fd fd;
  fs::FileInfo found;
};

absl::StatusOr<Opened> OpenToFlush(const fs::Fd& folder, const std::string& name) {
  Opened opened;
  VMKEEP_ASSIGN_OR_RETURN(opened.fd, fs::OpenFileToFlush(folder, name));
  VMKEEP_ASSIGN_OR_RETURN(opened.found, fs::GetInfo(opened.fd, name));
  return opened;
}

// The SHA-256 of a file of any length: a digest list of a large disk has hundreds of MB.
absl::StatusOr<std::string> HashFile(const fs::Fd& fd, const std::string& name) {
  digest::Hasher hasher;
  std::vector<std::byte> buffer(size_t{1} << 20);
  for (int64_t offset = 0;;) {
    VMKEEP_ASSIGN_OR_RETURN(const size_t got, fs::ReadAt(fd, offset, buffer, name));
    if (got == 0) return digest::ToHex(hasher.Finish());
    hasher.Update(std::span(buffer).first(got));
    offset += static_cast<int64_t>(got);
  }
}

// One try to publish one backup.
class Publication {
 public:
  Publication(const v1::Publish* job, const RepositoryRoot* root, JobContext* context)
      : job_(*job), root_(*root), context_(*context), manifest_(job->manifest()) {}

  absl::StatusOr<v1::PublishResult> Run() {
    VMKEEP_ASSIGN_OR_RETURN(incoming_, root_.Incoming());
    VMKEEP_ASSIGN_OR_RETURN(vm_, root_.Vm(manifest_.vm().uuid()));
    VMKEEP_ASSIGN_OR_RETURN(const std::optional<v1::PublishResult> before, Observe());
    if (before) return Settle(*before);
    VMKEEP_ASSIGN_OR_RETURN(const bool exists, fs::Exists(incoming_, job_.incoming()));
    if (!exists) return error::IncomingAbsent(job_.incoming());
    VMKEEP_ASSIGN_OR_RETURN(folder_, fs::OpenDir(incoming_, job_.incoming()));
    VMKEEP_RETURN_IF_ERROR(Prepare());
    VMKEEP_RETURN_IF_ERROR(context_.BeginCommit());
    // A rename over the network may be done although it reports an error, and repeated it fails:
    // what counts is what is found afterwards.
    VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.publish.rename.before"));
    absl::Status renamed = fs::Rename(incoming_, job_.incoming(), vm_, manifest_.backup_id());
    renamed.Update(FaultPoint("worker.publish.rename.after"));
    VMKEEP_ASSIGN_OR_RETURN(const std::optional<v1::PublishResult> after, Observe());
    if (after) return Settle(*after);
    VMKEEP_RETURN_IF_ERROR(renamed);
    return error::IncomingIncomplete(job_.incoming(), "it was renamed and cannot be found");
  }

 private:
  // What is published under this backup's id: nothing, this very try (its result), or another one
  // (ALREADY_PUBLISHED).
  absl::StatusOr<std::optional<v1::PublishResult>> Observe() {
    const std::string& id = manifest_.backup_id();
    VMKEEP_ASSIGN_OR_RETURN(const std::optional<Published> found, FindPublished(vm_, id));
    if (!found) return std::nullopt;
    if (!found->manifest)
      return error::AlreadyPublished(id, "by something whose manifest cannot be read");
    if (!found->IsOf(id, absl::StrCat(manifest_.task_id(), ".", manifest_.epoch()))) {
      return error::AlreadyPublished(id, absl::StrCat("by task ", found->manifest->task_id(),
                                                      " epoch ", found->manifest->epoch()));
    }
    v1::PublishResult result;
    result.set_manifest_sha256(digest::ToHex(digest::Hash(found->text)));
    VMKEEP_ASSIGN_OR_RETURN(const int64_t stored, StoredBytes(found->folder, *found->manifest));
    result.set_stored_bytes(stored);
    return result;
  }

  // Published, as found: success once both parents' names are on disk too, which a crash may have
  // kept from happening.
  absl::StatusOr<v1::PublishResult> Settle(const v1::PublishResult& result) {
    VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.publish.flush-parents.before"));
    VMKEEP_RETURN_IF_ERROR(fs::Sync(vm_, manifest_.vm().uuid()));
    VMKEEP_RETURN_IF_ERROR(fs::Sync(incoming_, ".incoming"));
    VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.publish.flush-parents.after"));
    return result;
  }

  absl::StatusOr<int64_t> StoredBytes(const fs::Fd& folder, const pb::Manifest& manifest) {
    int64_t bytes = 0;
    const auto add = [&](const std::string& name) -> absl::Status {
      VMKEEP_ASSIGN_OR_RETURN(const fs::Fd file, fs::OpenFile(folder, name));
      VMKEEP_ASSIGN_OR_RETURN(const fs::FileInfo found, fs::GetInfo(file, name));
      bytes += found.stored_bytes;
      return absl::OkStatus();
    };
    VMKEEP_RETURN_IF_ERROR(add(manifest::kFileName));
    for (const pb::Disk& disk : manifest.disks()) VMKEEP_RETURN_IF_ERROR(add(disk.file()));
    for (const pb::File& file : manifest.files()) VMKEEP_RETURN_IF_ERROR(add(file.file()));
    return bytes;
  }

  // The folder complete, described and flushed.
  absl::Status Prepare() {
    for (const pb::Disk& disk : job_.manifest().disks()) VMKEEP_RETURN_IF_ERROR(TakeDisk(disk));
    if (IsSealed(job_)) VMKEEP_RETURN_IF_ERROR(TakeExport());
    for (const v1::SmallFile& file : job_.small_files())
      VMKEEP_RETURN_IF_ERROR(TakeSmallFile(file));
    VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.publish.small-files.after"));
    VMKEEP_RETURN_IF_ERROR(RemoveUnnamed());
    const absl::Time now = absl::Now();
    manifest_.mutable_publish_time()->set_seconds(absl::ToUnixSeconds(now));
    VMKEEP_ASSIGN_OR_RETURN(const std::string text, manifest::Serialize(manifest_));
    // Nobody could read it any more, ourselves included.
    if (text.size() > manifest::kMaxBytes)
      return error::IncomingIncomplete(job_.incoming(), "it has more files than a manifest holds");
    VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.publish.manifest.before"));
    VMKEEP_RETURN_IF_ERROR(fs::WriteFile(folder_, manifest::kFileName, text, 0600));
    VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.publish.manifest.after"));
    return fs::Sync(incoming_, ".incoming");
  }

  // A disk that Copy left here: present, as long as the manifest says, with the list that the
  // manifest's root is of.
  absl::Status TakeDisk(const pb::Disk& disk) {
    VMKEEP_RETURN_IF_ERROR(context_.CheckCancelled());
    VMKEEP_ASSIGN_OR_RETURN(const Opened image, Find(disk.file(), disk.file_bytes()));
    const std::string& list_name = disk.digest().list_file();
    VMKEEP_ASSIGN_OR_RETURN(const Opened list, Find(list_name));
    VMKEEP_ASSIGN_OR_RETURN(const std::string hash, HashFile(list.fd, list_name));
    if (hash != disk.digest().root()) {
      return error::IncomingIncomplete(job_.incoming(),
                                       absl::StrCat(list_name, " is not the list of that digest"));
    }
    VMKEEP_RETURN_IF_ERROR(fs::Sync(image.fd, disk.file()));
    VMKEEP_RETURN_IF_ERROR(fs::Sync(list.fd, list_name));
    Describe(list_name, kListRole, list.found.bytes, hash);
    return absl::OkStatus();
  }

  absl::StatusOr<Opened> Find(const std::string& name) {
    absl::StatusOr<Opened> opened = OpenToFlush(folder_, name);
    if (opened.status().code() == absl::StatusCode::kNotFound) {
      return error::IncomingIncomplete(job_.incoming(), absl::StrCat(name, " is missing"));
    }
    return opened;
  }

  absl::StatusOr<Opened> Find(const std::string& name, int64_t bytes) {
    VMKEEP_ASSIGN_OR_RETURN(Opened opened, Find(name));
    if (opened.found.bytes == bytes) return opened;
    return error::IncomingIncomplete(
        job_.incoming(),
        absl::StrCat(name, " has ", opened.found.bytes, " bytes instead of ", bytes));
  }

  // The files that SealExport flushed and hashed, all of them and nothing else.
  absl::Status TakeExport() {
    std::set<std::string> named;
    for (const pb::Disk& disk : job_.manifest().disks()) named.insert(disk.file());
    for (const pb::File& file : job_.sealed_files()) {
      VMKEEP_RETURN_IF_ERROR(context_.CheckCancelled());
      VMKEEP_RETURN_IF_ERROR(Find(file.file(), file.bytes()).status());
      named.insert(file.file());
      *manifest_.add_files() = file;
    }
    const Refuse refuse = [&](absl::string_view path, absl::string_view why) {
      return error::IncomingIncomplete(job_.incoming(),
                                       absl::StrCat(manifest::kExportFolder, "/", path, ": ", why));
    };
    VMKEEP_ASSIGN_OR_RETURN(const fs::Fd folder, fs::OpenDir(folder_, manifest::kExportFolder));
    VMKEEP_ASSIGN_OR_RETURN(const ExportTree tree, ReadExportTree(folder, refuse));
    for (const ExportFile& file : tree.files) {
      if (!named.contains(absl::StrCat(manifest::kExportFolder, "/", file.path)))
        return refuse(file.path, "it was not there when the export was sealed");
    }
    return absl::OkStatus();
  }

  absl::Status TakeSmallFile(const v1::SmallFile& file) {
    VMKEEP_RETURN_IF_ERROR(context_.CheckCancelled());
    std::string content = file.content();
    if (file.from_case() == v1::SmallFile::kPath) {
      VMKEEP_ASSIGN_OR_RETURN(content, ReadFromHost(file.path()));
    }
    VMKEEP_RETURN_IF_ERROR(fs::WriteFile(folder_, file.file(), content, 0600));
    Describe(file.file(), file.role(), static_cast<int64_t>(content.size()),
             digest::ToHex(digest::Hash(content)));
    return absl::OkStatus();
  }

  static absl::StatusOr<std::string> ReadFromHost(const std::string& path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return error::SourceUnusable(path, "the path is not absolute");
    // The host's own paths may hold links: the folder is opened as an administrator's, the file by
    // its real name.
    absl::StatusOr<fs::Fd> dir = fs::OpenRoot(slash == 0 ? "/" : path.substr(0, slash));
    if (!dir.ok()) return error::SourceUnusable(path, std::string(dir.status().message()));
    absl::StatusOr<std::string> content =
        fs::ReadFile(*dir, path.substr(slash + 1), kMaxSmallFileBytes);
    if (content.ok()) return content;
    const int err = fs::error::Errno(content.status());
    if (err == EIO) return error::SourceReadError(path, 0, err);
    return error::SourceUnusable(path, std::string(content.status().message()));
  }

  void Describe(const std::string& name, const std::string& role, int64_t bytes,
                const std::string& sha256) {
    pb::File* file = manifest_.add_files();
    file->set_file(name);
    file->set_role(role);
    file->set_bytes(bytes);
    file->set_sha256(sha256);
  }

  // Whatever an earlier run of this try left that this manifest does not name: a backup holds what
  // its manifest says.
  absl::Status RemoveUnnamed() {
    std::set<std::string> named;
    if (IsSealed(job_)) named.insert(manifest::kExportFolder);
    for (const pb::Disk& disk : manifest_.disks()) named.insert(disk.file());
    for (const pb::File& file : manifest_.files()) named.insert(file.file());
    VMKEEP_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs::List(folder_));
    for (const std::string& name : names) {
      if (!named.contains(name)) VMKEEP_RETURN_IF_ERROR(fs::RemoveTree(folder_, name).status());
    }
    return absl::OkStatus();
  }

  const v1::Publish& job_;
  const RepositoryRoot& root_;
  JobContext& context_;
  pb::Manifest manifest_;  // the job's, filled on the way
  fs::Fd incoming_;
  fs::Fd vm_;
  fs::Fd folder_;
};

}  // namespace

absl::StatusOr<v1::PublishResult> Publish(const v1::Publish& job, JobContext* context) {
  VMKEEP_RETURN_IF_ERROR(CheckJob(job));
  VMKEEP_ASSIGN_OR_RETURN(const RepositoryRoot root, RepositoryRoot::Open(job.repository()));
  absl::StatusOr<v1::PublishResult> result = Publication(&job, &root, context).Run();
  if (!result.ok()) return root.Wrap(result.status());
  return result;
}

}  // namespace vmkeep::worker
