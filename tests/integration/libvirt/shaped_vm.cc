#include "tests/integration/libvirt/shaped_vm.h"

#include "common/uuid.h"
#include "tests/integration/libvirt/lab.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/substitute.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace vmkeep::executor::lab {
namespace {

constexpr char kDomain[] = R"(<domain type='qemu'>
  <name>shape $0 ä&amp;ö</name>
  <uuid>$0</uuid>
  <memory unit='MiB'>32</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    $1
  </os>
  <features><acpi/></features>
  <devices>$2
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
)";

std::string Escaped(const std::string& path) {
  return absl::StrReplaceAll(path, {{"&", "&amp;"}, {"'", "&apos;"}, {"<", "&lt;"}});
}

// One image that shows what the whole disk does: nobody may be writing to it, which qemu-img
// checks.
void CopyFlat(const Disk& disk, const std::string& to) {
  Run({"qemu-img", "convert", "-f", disk.format, "-O", "raw", disk.source, to});
}

}  // namespace

LoopDevice::LoopDevice(const std::string& file)
    : path_(absl::StripAsciiWhitespace(Run({"losetup", "--find", "--show", file}))) {}

LoopDevice::~LoopDevice() { (void)Succeeds({"losetup", "--detach", path_}); }

void MakeImage(const std::string& path, const std::string& format, uint64_t offset, uint8_t value,
               const std::vector<std::string>& options) {
  std::vector<std::string> create = {"qemu-img", "create", "-q", "-f", format};
  create.insert(create.end(), options.begin(), options.end());
  create.insert(create.end(), {path, "8M"});
  Run(create);
  Run({"qemu-io", "-f", format, "-c", absl::StrFormat("write -q -P %d %d 4k", value, offset),
       path});
}

std::string DiskElement(const std::string& format, const std::string& source,
                        const std::string& target, const std::string& more) {
  return absl::Substitute(R"(
    <disk type='file' device='disk'>
      <driver name='qemu' type='$0'/>
      <source file='$1'/>
      <target dev='$2' bus='virtio'/>$3
    </disk>)",
                          format, Escaped(source), target, more);
}

std::string BlockDiskElement(const std::string& source, const std::string& target) {
  return absl::Substitute(R"(
    <disk type='block' device='disk'>
      <driver name='qemu' type='raw'/>
      <source dev='$0'/>
      <target dev='$1' bus='virtio'/>
    </disk>)",
                          source, target);
}

ShapedVm::ShapedVm(const std::string& disks, const std::string& os) : uuid_(NewUuid4()) {
  const std::string file = NewFolder("shape") + "/domain.xml";
  std::ofstream(file) << absl::Substitute(kDomain, uuid_, os, disks);
  Virsh({"define", file});
}

ShapedVm::~ShapedVm() {
  const auto virsh = [this](const std::string& verb, const std::vector<std::string>& options) {
    std::vector<std::string> argv = {"virsh", "-q", "-c", "qemu:///system", verb, uuid_};
    argv.insert(argv.end(), options.begin(), options.end());
    (void)Succeeds(argv);  // the test may have ended either already
  };
  virsh("destroy", {});
  virsh("undefine", {"--nvram", "--snapshots-metadata", "--managed-save"});
}

void ShapedVm::PowerOn() const { Virsh({"start", uuid_}); }
void ShapedVm::PowerOff() const { Virsh({"destroy", uuid_}); }
void ShapedVm::Undefine() const {
  Virsh({"undefine", uuid_, "--keep-nvram", "--snapshots-metadata"});
}
std::string ShapedVm::Definition() const { return Virsh({"dumpxml", "--inactive", uuid_}); }

std::string Copies::File(const std::string& target) const {
  const auto found = std::find_if(files.begin(), files.end(),
                                  [&](const auto& file) { return file.target == target; });
  return found == files.end() ? "" : absl::StrCat(folder, "/", found->file);
}

std::string Copies::Format(const std::string& target) const {
  const auto found = std::find_if(files.begin(), files.end(),
                                  [&](const auto& file) { return file.target == target; });
  return found == files.end() ? "" : found->format;
}

Copies CopyDisks(Hypervisor& hypervisor, const VmDescription& vm) {
  Copies copies{.folder = NewFolder("backup"), .files = {}};
  for (const Disk& disk : vm.disks) {
    const std::string file = absl::StrCat("disk-", disk.target, ".", disk.stored_format());
    const std::string to = absl::StrCat(copies.folder, "/", file);
    copies.files.push_back({disk.target, file, disk.stored_format()});
    if (disk.flat()) {
      CopyFlat(disk, to);
    } else {
      Run({"cp", disk.source, to});
    }
  }
  const absl::StatusOr<std::string> xml = hypervisor.RestoreXml(vm, copies.files);
  if (!xml.ok()) {
    std::fprintf(stderr, "%s\n", xml.status().ToString().c_str());
    std::abort();
  }
  std::ofstream(copies.folder + "/domain.xml") << *xml;
  return copies;
}

void RestoreByHand(const VmDescription& vm, const Copies& copies) {
  for (const Disk& disk : vm.disks) {
    if (!disk.block_device) std::filesystem::remove(disk.source);
    Run({"cp", copies.File(disk.target), disk.source});
    for (const ImageLayer& layer : disk.backing) {
      // The copy must not need it.
      std::filesystem::remove(layer.file);
    }
    if (!disk.data_file.empty()) std::filesystem::remove(disk.data_file);
  }
  Virsh({"define", copies.folder + "/domain.xml"});
}

}  // namespace vmkeep::executor::lab
