#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_HANDLES_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_HANDLES_H_

#include <libvirt/libvirt.h>

#include <cstdlib>
#include <memory>

// libvirt's C handles, owned. The deleter is a type, so a handle is one pointer wide and none is
// {}.
namespace vmkeep::executor::libvirt {

template <auto Close>
struct Closer {
  template <typename T>
  void operator()(T* handle) const noexcept {
    (void)Close(handle);
  }
};

// What libvirt allocates for its caller, C's way.
struct CFree {
  void operator()(void* memory) const noexcept {
    std::free(memory);  // NOLINT(cppcoreguidelines-no-malloc)
  }
};

using ConnectionHandle = std::unique_ptr<virConnect, Closer<&virConnectClose>>;
using DomainHandle = std::unique_ptr<virDomain, Closer<&virDomainFree>>;
using SnapshotHandle = std::unique_ptr<virDomainSnapshot, Closer<&virDomainSnapshotFree>>;
using CText = std::unique_ptr<char, CFree>;
using DomainList = std::unique_ptr<virDomainPtr, CFree>;

}  // namespace vmkeep::executor::libvirt

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_HANDLES_H_
