#ifndef VMKEEP_EXECUTOR_FLAT_VIEW_IMAGE_JSON_H_
#define VMKEEP_EXECUTOR_FLAT_VIEW_IMAGE_JSON_H_

#include "executor/hypervisor/hypervisor.h"

#include "absl/status/statusor.h"

#include <functional>
#include <string>
#include <vector>

// A disk in QEMU's words. Pure.
namespace vmkeep::executor {

using IsDevice = std::function<bool(const std::string& path)>;

// The "json:" name of a disk with its whole chain, for a QEMU tool. Every level names its driver
// and its file, and the last one says that nothing is below it: so QEMU takes no format and no name
// from a header, which a guest may have written. Any path may stand in it. FAILED_PRECONDITION,
// FLAT_VIEW_IMPOSSIBLE: a format that we do not know, a raw image with something below it.
absl::StatusOr<std::string> ImageJson(const Disk& disk, const IsDevice& is_device);

// Every file that it reads: the source, its chain, and their data files.
std::vector<std::string> FilesOf(const Disk& disk);

}  // namespace vmkeep::executor

#endif  // VMKEEP_EXECUTOR_FLAT_VIEW_IMAGE_JSON_H_
