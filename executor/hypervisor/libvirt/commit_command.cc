#include "executor/hypervisor/libvirt/commit_command.h"

#include "executor/hypervisor/libvirt/image.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace vmkeep::executor::libvirt {
namespace {

// QEMU's options end at a comma; in a value it is doubled.
std::string Quoted(const std::string& path) { return absl::StrReplaceAll(path, {{",", ",,"}}); }

}  // namespace

std::vector<std::string> CommitArguments(const std::string& qemu_img, const OverlayDisk& disk) {
  // -d: without it the overlay is emptied, and with it the evidence and the second chance go.
  return {qemu_img,
          "commit",
          "-q",
          "-d",
          "--image-opts",
          absl::StrCat("driver=qcow2,file.driver=file,file.filename=", Quoted(disk.overlay),
                       ",backing.driver=", disk.base_format,
                       ",backing.file.driver=file,backing.file.filename=", Quoted(disk.base))};
}

absl::Status CheckCommittable(const OverlayDisk& disk) {
  const absl::StatusOr<std::string> backing = BackingName(disk.overlay);
  if (!backing.ok()) return absl::FailedPreconditionError(backing.status().message());
  if (*backing != disk.base) {
    return absl::FailedPreconditionError(
        absl::StrCat("the overlay ", disk.overlay, " stands on another file than ", disk.base));
  }
  if (disk.base_format != "raw" && disk.base_format != "qcow2") {
    return absl::FailedPreconditionError("the base's format is neither raw nor qcow2");
  }
  Disk base;
  base.target = disk.target;
  base.source = disk.base;
  base.format = disk.base_format;
  return InspectImage(base);
}

}  // namespace vmkeep::executor::libvirt
