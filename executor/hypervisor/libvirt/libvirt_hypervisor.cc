#include "executor/hypervisor/libvirt/libvirt_hypervisor.h"

#include "common/status_macros.h"
#include "executor/hypervisor/libvirt/connection.h"
#include "executor/hypervisor/libvirt/merge_watch.h"

#include <libvirt/libvirt.h>

namespace vmkeep::executor {

absl::StatusOr<std::unique_ptr<Hypervisor>> LibvirtHypervisor::Open(LibvirtOptions options,
                                                                    Clock& clock) {
  auto merges = std::make_shared<libvirt::MergeWatch>();
  const libvirt::BlockJobListener listener = [merges](const std::string& vm_uuid,
                                                      const std::string& target, int status) {
    if (status == VIR_DOMAIN_BLOCK_JOB_FAILED) merges->SetFailed(vm_uuid, target);
  };
  VMKEEP_ASSIGN_OR_RETURN(std::unique_ptr<libvirt::Connection> connection,
                          libvirt::Connection::Open({.uri = options.uri,
                                                     .call_timeout = options.call_timeout,
                                                     .on_connected = options.on_connected},
                                                    listener));
  return std::unique_ptr<Hypervisor>(
      new LibvirtHypervisor(std::move(options), clock, std::move(connection), std::move(merges)));
}

LibvirtHypervisor::LibvirtHypervisor(LibvirtOptions options, Clock& clock,
                                     std::unique_ptr<libvirt::Connection> connection,
                                     std::shared_ptr<libvirt::MergeWatch> merges)
    : options_(std::move(options)),
      clock_(clock),
      merges_(std::move(merges)),
      connection_(std::move(connection)) {}

LibvirtHypervisor::~LibvirtHypervisor() = default;

}  // namespace vmkeep::executor
