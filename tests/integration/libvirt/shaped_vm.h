#ifndef VMKEEP_TESTS_INTEGRATION_LIBVIRT_SHAPED_VM_H_
#define VMKEEP_TESTS_INTEGRATION_LIBVIRT_SHAPED_VM_H_

#include "executor/hypervisor/hypervisor.h"

#include "absl/status/status.h"

#include <cstdint>
#include <string>
#include <vector>

// VMs without a system in them, of any shape, and the way of a backup of one: what a task does,
// with `cp` and qemu-img in the worker's place.
namespace vmkeep::executor::lab {

// A file on a loop device, as a VM would have a logical volume. Detached with its scope.
class LoopDevice {
 public:
  explicit LoopDevice(const std::string& file);
  ~LoopDevice();
  LoopDevice(const LoopDevice&) = delete;
  LoopDevice& operator=(const LoopDevice&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Makes an image of 8 MiB that holds 4096 bytes of `value` at `offset`. `options` are qemu-img's.
void MakeImage(const std::string& path, const std::string& format, uint64_t offset, uint8_t value,
               const std::vector<std::string>& options = {});

// An element <disk> of the definition; `more` goes into it.
std::string DiskElement(const std::string& format, const std::string& source,
                        const std::string& target, const std::string& more = {});
std::string BlockDiskElement(const std::string& source, const std::string& target);

// Defined, and off. Ends and is undefined with its scope.
class ShapedVm {
 public:
  // `os` goes into the element <os>.
  explicit ShapedVm(const std::string& disks, const std::string& os = {});
  ~ShapedVm();
  ShapedVm(const ShapedVm&) = delete;
  ShapedVm& operator=(const ShapedVm&) = delete;

  const std::string& uuid() const { return uuid_; }
  void PowerOn() const;
  void PowerOff() const;
  void Undefine() const;
  std::string Definition() const;

 private:
  const std::string uuid_;
};

// Copies of a VM's disks beside its definition, as a backup's folder holds them.
struct Copies {
  std::string folder;
  std::vector<Hypervisor::RestoreFile> files;
  std::string File(const std::string& target) const;
  std::string Format(const std::string& target) const;
};
Copies CopyDisks(Hypervisor& hypervisor, const VmDescription& vm);

// As the manual says: the files to their places, then `virsh define`. The VM must be undefined.
void RestoreByHand(const VmDescription& vm, const Copies& copies);

}  // namespace vmkeep::executor::lab

#endif  // VMKEEP_TESTS_INTEGRATION_LIBVIRT_SHAPED_VM_H_
