#ifndef VMKEEP_TESTS_INTEGRATION_LIBVIRT_LAB_H_
#define VMKEEP_TESTS_INTEGRATION_LIBVIRT_LAB_H_

#include "absl/time/time.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

// The libvirt of tools/lab/with-libvirt, by its own tools: what tests do behind the back of the
// code they test. A command that fails ends the test program: nothing after it would mean anything.
namespace vmkeep::executor::lab {

// Runs a program and gives its output.
std::string Run(const std::vector<std::string>& argv);
// Whether it succeeds, for what is asked until it does, or does not any more.
bool Succeeds(const std::vector<std::string>& argv);
std::string Virsh(std::vector<std::string> arguments);
// Runs a script of tools/lab.
std::string Tool(const std::string& name, std::vector<std::string> arguments);

// A new folder in the lab's own, which QEMU's user may search.
std::string NewFolder(const std::string& name);

// Polls for up to `timeout`.
bool Eventually(const std::function<bool()>& holds, absl::Duration timeout = absl::Seconds(30));

// A VM without a system in it: QEMU runs, and does to its disks what it is told through its
// monitor. "vda" is raw, "vdb" qcow2, both of 8 MiB and zero; there is an empty CD drive besides,
// unless `plain`. Ends and is undefined with its scope.
class BareVm {
 public:
  explicit BareVm(bool plain = false);
  ~BareVm();
  BareVm(const BareVm&) = delete;
  BareVm& operator=(const BareVm&) = delete;

  const std::string& uuid() const { return uuid_; }
  const std::string& name() const { return name_; }
  const std::string& folder() const { return folder_; }
  std::string Path(const std::string& target) const;
  // The definition with the given text instead of the element <X/> that marks the place of more
  // devices.
  std::string Xml(const std::string& more_devices = {}) const;

  void PowerOff() const { Virsh({"destroy", uuid_}); }
  void PowerOn() const { Virsh({"start", uuid_}); }
  // As the guest: 4096 bytes of `value`, flushed.
  void Write(const std::string& target, uint64_t offset, uint8_t value) const;

 private:
  const std::string uuid_;
  const std::string name_;
  const std::string folder_;
  const bool plain_;
};

// As the guest: 4096 bytes of `value` to its virtio disk, counted from 0, flushed.
void WriteAsGuest(const std::string& vm, int disk, uint64_t offset, uint8_t value);

// The byte of the guest's view at `offset` of one image, whatever stands above or below it.
uint8_t ByteOf(const std::string& image, const std::string& format, uint64_t offset);

}  // namespace vmkeep::executor::lab

#endif  // VMKEEP_TESTS_INTEGRATION_LIBVIRT_LAB_H_
