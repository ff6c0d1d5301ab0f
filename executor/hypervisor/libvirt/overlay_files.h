#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_OVERLAY_FILES_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_OVERLAY_FILES_H_

#include "absl/status/status.h"

#include <string>
#include <vector>

namespace vmkeep::executor::libvirt {

// The overlays' files before libvirt fills them. libvirt refuses a name in use only when the file
// is not empty, and takes an empty one silently with its mode (libvirt-facts.md, 1): so each is
// made here, new, empty and private.
class OverlayFiles {
 public:
  // Makes a file. kAlreadyExists when the name is in use.
  absl::Status Reserve(const std::string& path);

  // Unlinks those that are still the files made here. For when no VM is on them.
  void Remove();

 private:
  struct Reserved {
    std::string path;
    uint64_t dev = 0;
    uint64_t ino = 0;
  };
  std::vector<Reserved> files_;
};

// Unlinks an overlay and flushes its folder; absent is OK.
absl::Status UnlinkOverlay(const std::string& path);

}  // namespace vmkeep::executor::libvirt

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_OVERLAY_FILES_H_
