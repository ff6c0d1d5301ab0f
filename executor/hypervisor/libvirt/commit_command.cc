#include "executor/hypervisor/libvirt/commit_command.h"

#include "common/status_macros.h"
#include "executor/hypervisor/libvirt/image.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace vmkeep::executor::libvirt {
namespace {

// QEMU's options end at a comma; in a value it is doubled.
std::string Quoted(const std::string& path) { return absl::StrReplaceAll(path, {{",", ",,"}}); }

std::string FileOptions(absl::string_view node, const std::string& path) {
  return absl::StrCat(",", node, ".driver=", IsBlockDevice(path) ? "host_device" : "file", ",",
                      node, ".filename=", Quoted(path));
}

std::string LayerOptions(absl::string_view node, const ImageLayer& layer) {
  std::string options = absl::StrCat(",", node, ".driver=", layer.format,
                                     FileOptions(absl::StrCat(node, ".file"), layer.file));
  if (!layer.data_file.empty()) {
    options += FileOptions(absl::StrCat(node, ".data-file"), layer.data_file);
  }
  return options;
}

// The overlay and all below it, with their formats.
std::string ChainOptions(const std::string& overlay, const Disk& base) {
  std::string node = "backing";
  std::string options =
      absl::StrCat("driver=qcow2", FileOptions("file", overlay),
                   LayerOptions(node, {base.source, base.format, base.data_file}));
  for (const ImageLayer& layer : base.backing) {
    node += ".backing";
    options += LayerOptions(node, layer);
  }
  return options;
}

}  // namespace

std::vector<std::string> CommitArguments(const std::string& qemu_img, const std::string& overlay,
                                         const Disk& base) {
  // -d: without it the overlay is emptied, and with it the evidence and the second chance go.
  return {qemu_img, "commit", "-q", "-d", "--image-opts", ChainOptions(overlay, base)};
}

std::vector<std::string> CompareArguments(const std::string& qemu_img, const std::string& overlay,
                                          const Disk& base) {
  // -U: it must not keep the VM from starting.
  std::string alone = absl::StrCat("driver=", base.format, FileOptions("file", base.source));
  if (!base.data_file.empty()) alone += FileOptions("data-file", base.data_file);
  std::string node;
  for (const ImageLayer& layer : base.backing) {
    node += node.empty() ? "backing" : ".backing";
    alone += LayerOptions(node, layer);
  }
  return {qemu_img, "compare", "-q", "-U", "--image-opts", ChainOptions(overlay, base), alone};
}

absl::StatusOr<Disk> CommittableBase(const OverlayDisk& disk) {
  const absl::StatusOr<Qcow2Header> header = ReadQcow2Header(disk.overlay);
  if (!header.ok()) return absl::FailedPreconditionError(header.status().message());
  if (header->backing != disk.base) {
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
  base.block_device = IsBlockDevice(disk.base);
  VMKEEP_RETURN_IF_ERROR(InspectImage(base));
  return base;
}

}  // namespace vmkeep::executor::libvirt
