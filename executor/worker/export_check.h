#ifndef VMKEEP_EXECUTOR_WORKER_EXPORT_CHECK_H_
#define VMKEEP_EXECUTOR_WORKER_EXPORT_CHECK_H_

#include "common/fs/fd.h"
#include "executor/worker/export_tree.h"
#include "vmkeep/worker/v1/worker.pb.h"

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <cstddef>
#include <string>
#include <vector>

namespace vmkeep::worker {

// "vhdx" or "vhd", by the end of an image's name, whatever its case; "" when it is no image.
absl::string_view ImageFormat(absl::string_view file_name);

// The digest list of a disk of an export: "disk-scsi0x1.vhdx.sha256".
std::string ExportListFile(const v1::ExportedDisk& disk);

// Of each disk, in the request's order, which of the tree's files it is.
using DiskFiles = std::vector<size_t>;

// Whether the tree below `folder` is a whole export of those disks; see worker.proto. Names are
// compared with ASCII letters folded: Hyper-V gives a file back as it was called, and only what
// was typed by a person differs in case.
absl::StatusOr<DiskFiles> CheckExport(const fs::Fd& folder, const ExportTree& tree,
                                      const v1::SealExport& job, const Refuse& refuse);

}  // namespace vmkeep::worker

#endif  // VMKEEP_EXECUTOR_WORKER_EXPORT_CHECK_H_
