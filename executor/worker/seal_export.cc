#include "executor/worker/seal_export.h"

#include "common/error.h"
#include "common/fault_point/fault_point.h"
#include "common/fs/files.h"
#include "common/manifest/manifest.h"
#include "common/status_macros.h"
#include "executor/worker/errors.h"
#include "executor/worker/export_check.h"
#include "executor/worker/export_tree.h"
#include "executor/worker/prepare_export.h"
#include "executor/worker/read_back.h"
#include "executor/worker/repository.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace vmkeep::worker {
namespace {

namespace pb = manifest::v1;
using manifest::kExportFolder;

constexpr char kExportRole[] = "export";
constexpr char kParentRole[] = "parent";

absl::Status CheckJob(const v1::SealExport& job) {
  VMKEEP_RETURN_IF_ERROR(CheckIncomingName(job.incoming()));
  std::vector<FieldViolation> violations;
  std::set<std::string> lists;
  for (const v1::ExportedDisk& disk : job.disks()) {
    if (!manifest::IsExportName(disk.file()) || ImageFormat(disk.file()).empty())
      violations.push_back({"disks.file", "must be the name of a VHDX or VHD file, no path"});
    for (const std::string& parent : disk.parents()) {
      if (!manifest::IsExportName(parent))
        violations.push_back({"disks.parents", "must be file names, no paths"});
    }
    // Folded: on most shares of Windows two names that differ in case are one.
    const std::string list = ExportListFile(disk);
    if (!manifest::IsPlainFileName(disk.target()) || !manifest::IsPlainFileName(list) ||
        !lists.insert(absl::AsciiStrToLower(list)).second)
      violations.push_back({"disks.target", "must be a plain name that occurs once"});
  }
  return violations.empty() ? absl::OkStatus() : InvalidArgument(violations);
}

// One try to seal one export.
class Seal {
 public:
  Seal(const v1::SealExport* job, const RepositoryRoot* root, JobContext* context)
      : job_(*job),
        root_(*root),
        context_(*context),
        refuse_([this](absl::string_view path, absl::string_view why) {
          return error::ExportIncomplete(job_.incoming(), path, why);
        }) {}

  absl::StatusOr<v1::SealExportResult> Run() {
    VMKEEP_ASSIGN_OR_RETURN(const fs::Fd incoming, root_.Incoming());
    VMKEEP_ASSIGN_OR_RETURN(const bool exists, fs::Exists(incoming, job_.incoming()));
    if (!exists) return error::IncomingAbsent(job_.incoming());
    VMKEEP_ASSIGN_OR_RETURN(folder_, fs::OpenDir(incoming, job_.incoming()));
    VMKEEP_RETURN_IF_ERROR(Find());
    VMKEEP_ASSIGN_OR_RETURN(tree_, ReadExportTree(export_, refuse_));
    VMKEEP_ASSIGN_OR_RETURN(const DiskFiles disks, CheckExport(export_, tree_, job_, refuse_));
    VMKEEP_RETURN_IF_ERROR(context_.CheckCancelled());
    if (!staged_name_.empty()) VMKEEP_RETURN_IF_ERROR(Rename());
    VMKEEP_RETURN_IF_ERROR(FlushFolders());
    return Hash(disks);
  }

 private:
  // Opens what was exported: in the staging folder, or under its final name when a run that ended
  // early has given it that.
  absl::Status Find() {
    std::vector<std::string> staged;
    VMKEEP_ASSIGN_OR_RETURN(const bool staging_exists, fs::Exists(folder_, kExportStaging));
    if (staging_exists) {
      VMKEEP_ASSIGN_OR_RETURN(staging_, fs::OpenDir(folder_, kExportStaging));
      VMKEEP_ASSIGN_OR_RETURN(staged, fs::List(staging_));
    }
    VMKEEP_ASSIGN_OR_RETURN(const bool renamed, fs::Exists(folder_, kExportFolder));
    if (renamed && !staged.empty())
      return refuse_(staged[0], "it was written after the export had been checked");
    if (renamed) {
      VMKEEP_ASSIGN_OR_RETURN(export_, fs::OpenDir(folder_, kExportFolder));
      return absl::OkStatus();
    }
    if (staged.empty()) return refuse_("", "the hypervisor wrote nothing");
    if (staged.size() > 1) return refuse_(staged[1], "the hypervisor wrote more than one folder");
    return OpenStaged(staged[0]);
  }

  absl::Status OpenStaged(const std::string& name) {
    if (!manifest::IsExportName(name)) return refuse_(name, "it is no name of a VM");
    absl::StatusOr<fs::Fd> opened = fs::OpenDir(staging_, name);
    if (absl::IsNotFound(opened.status()) || absl::IsFailedPrecondition(opened.status()))
      return refuse_(name, "it is no folder");
    VMKEEP_RETURN_IF_ERROR(opened.status());
    export_ = *std::move(opened);
    staged_name_ = name;
    return absl::OkStatus();
  }

  // A rename over the network may be done although it reports an error: what counts is what is
  // found afterwards.
  absl::Status Rename() {
    VMKEEP_RETURN_IF_ERROR(FaultPoint("worker.seal.rename.before"));
    absl::Status status = fs::Rename(staging_, staged_name_, folder_, kExportFolder);
    status.Update(FaultPoint("worker.seal.rename.after"));
    VMKEEP_ASSIGN_OR_RETURN(const bool renamed, fs::Exists(folder_, kExportFolder));
    if (renamed) {
      // By its new name: a client of SMB goes on to say the old one for what is opened below.
      VMKEEP_ASSIGN_OR_RETURN(export_, fs::OpenDir(folder_, kExportFolder));
      return absl::OkStatus();
    }
    VMKEEP_RETURN_IF_ERROR(status);
    return refuse_(staged_name_, "it was renamed and cannot be found");
  }

  absl::Status FlushFolders() {
    for (const std::string& path : tree_.folders) {
      VMKEEP_ASSIGN_OR_RETURN(const fs::Fd below, fs::OpenDir(export_, path));
      VMKEEP_RETURN_IF_ERROR(fs::Sync(below, path));
    }
    VMKEEP_RETURN_IF_ERROR(fs::Sync(export_, kExportFolder));
    if (staging_.valid()) VMKEEP_RETURN_IF_ERROR(fs::Sync(staging_, kExportStaging));
    VMKEEP_RETURN_IF_ERROR(fs::RemoveIfEmpty(folder_, kExportStaging));
    VMKEEP_RETURN_IF_ERROR(fs::Sync(folder_, job_.incoming()));
    return FaultPoint("worker.seal.flush-folders.after");
  }

  absl::StatusOr<v1::SealExportResult> Hash(const DiskFiles& disks) {
    context_.SetTotal(
        std::accumulate(tree_.files.begin(), tree_.files.end(), int64_t{0},
                        [](int64_t sum, const ExportFile& file) { return sum + file.bytes; }));
    v1::SealExportResult result;
    for (size_t i = 0; i < disks.size(); ++i) {
      VMKEEP_RETURN_IF_ERROR(
          HashDisk(job_.disks(static_cast<int>(i)), tree_.files[disks[i]], result.add_disks()));
    }
    // The lists' names.
    VMKEEP_RETURN_IF_ERROR(fs::Sync(folder_, job_.incoming()));
    const std::set<size_t> are_disks(disks.begin(), disks.end());
    for (size_t i = 0; i < tree_.files.size(); ++i) {
      if (!are_disks.contains(i))
        VMKEEP_RETURN_IF_ERROR(HashFile(tree_.files[i], result.add_files()));
    }
    return result;
  }

  absl::Status HashDisk(const v1::ExportedDisk& disk, const ExportFile& exported,
                        v1::SealedDisk* sealed) {
    const std::string list_file = ExportListFile(disk);
    VMKEEP_ASSIGN_OR_RETURN(const ReadBack file,
                            ReadBack::Open(export_, exported, &refuse_, &context_));
    VMKEEP_ASSIGN_OR_RETURN(const std::string root, HashIntoList(file, folder_, list_file));
    VMKEEP_RETURN_IF_ERROR(file.CheckUnchanged(export_));
    sealed->set_target(disk.target());
    sealed->set_file(absl::StrCat(kExportFolder, "/", exported.path));
    sealed->mutable_copy()->set_file_bytes(file.bytes());
    sealed->mutable_copy()->set_data_bytes(file.data_bytes());
    pb::Digest* digest = sealed->mutable_copy()->mutable_digest();
    digest->set_algorithm("sha256");
    digest->set_chunk_bytes(digest::kChunkBytes);
    digest->set_list_file(list_file);
    digest->set_root(root);
    return absl::OkStatus();
  }

  absl::Status HashFile(const ExportFile& exported, pb::File* sealed) {
    VMKEEP_ASSIGN_OR_RETURN(const ReadBack file,
                            ReadBack::Open(export_, exported, &refuse_, &context_));
    VMKEEP_ASSIGN_OR_RETURN(const digest::Sha256 digest, HashWhole(file));
    VMKEEP_RETURN_IF_ERROR(file.CheckUnchanged(export_));
    sealed->set_file(absl::StrCat(kExportFolder, "/", exported.path));
    sealed->set_role(ImageFormat(exported.path).empty() ? kExportRole : kParentRole);
    sealed->set_bytes(file.bytes());
    sealed->set_sha256(digest::ToHex(digest));
    return absl::OkStatus();
  }

  const v1::SealExport& job_;
  const RepositoryRoot& root_;
  JobContext& context_;
  const Refuse refuse_;
  fs::Fd folder_;
  fs::Fd staging_;           // invalid when there is none
  fs::Fd export_;            // opened again when it is renamed
  std::string staged_name_;  // empty: it has its final name already
  ExportTree tree_;
};

}  // namespace

absl::StatusOr<v1::SealExportResult> SealExport(const v1::SealExport& job, JobContext* context) {
  VMKEEP_RETURN_IF_ERROR(CheckJob(job));
  VMKEEP_ASSIGN_OR_RETURN(const RepositoryRoot root, RepositoryRoot::Open(job.repository()));
  absl::StatusOr<v1::SealExportResult> result = Seal(&job, &root, context).Run();
  if (!result.ok()) return root.Wrap(result.status());
  return result;
}

}  // namespace vmkeep::worker
