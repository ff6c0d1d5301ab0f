#include "executor/hypervisor/libvirt/libvirt_error.h"

#include "common/error.h"
#include "executor/hypervisor/errors.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include <libvirt/virterror.h>

#include <string>

namespace vmkeep::executor::libvirt {
namespace {

constexpr char kCode[] = "libvirt_code";
constexpr char kDomain[] = "libvirt_domain";

// The connection is what failed: another one may do better.
bool IsConnectionError(int code, int domain) {
  switch (code) {
    case VIR_ERR_NO_CONNECT:
    case VIR_ERR_INVALID_CONN:
    case VIR_ERR_RPC:
      return true;
    case VIR_ERR_SYSTEM_ERROR:
    case VIR_ERR_INTERNAL_ERROR:  // "client socket is closed"
      return domain == VIR_FROM_RPC || domain == VIR_FROM_REMOTE;
    default:
      return false;
  }
}

absl::Status Classify(int code, int domain, absl::string_view doing, absl::string_view vm,
                      absl::string_view text) {
  if (code == VIR_ERR_NO_DOMAIN) return error::VmNotFound(vm);
  if (IsConnectionError(code, domain)) {
    return error::HypervisorUnavailable(absl::StrCat(doing, ": ", text));
  }
  // Another call holds the domain for more than libvirt's 30 s.
  if (code == VIR_ERR_OPERATION_TIMEOUT) {
    return error::VmBusy(vm, absl::StrCat("another operation (", text, ")"));
  }
  return error::HypervisorFailed(doing, text);
}

}  // namespace

absl::Status LibvirtError(absl::string_view while_doing, absl::string_view vm) {
  const virError* last = virGetLastError();
  if (last == nullptr || last->code == VIR_ERR_OK) {
    return error::HypervisorFailed(while_doing, "libvirt gave no reason");
  }
  const std::string text = last->message == nullptr ? "no message" : last->message;
  const absl::Status plain = Classify(last->code, last->domain, while_doing, vm, text);
  const absl::Status coded =
      MakeError(plain.code(), ErrorReason(plain), plain.message(),
                {{kCode, absl::StrCat(last->code)}, {kDomain, absl::StrCat(last->domain)}});
  return last->code == VIR_ERR_NO_DOMAIN ? WithResource(coded, "vm", vm) : coded;
}

int LibvirtCode(const absl::Status& status) {
  int code = 0;
  const ErrorMetadata details = ErrorDetails(status);
  const auto found = details.find(kCode);
  if (found == details.end() || !absl::SimpleAtoi(found->second, &code)) return 0;
  return code;
}

bool IsAgentError(const absl::Status& status) {
  switch (LibvirtCode(status)) {
    case VIR_ERR_ARGUMENT_UNSUPPORTED:  // no channel in the XML
    case VIR_ERR_AGENT_UNRESPONSIVE:
    case VIR_ERR_AGENT_UNSYNCED:
      return true;
    case VIR_ERR_INTERNAL_ERROR:  // what the agent itself answers has no code of its own
      return absl::StrContains(status.message(), "agent");
    default:
      return false;
  }
}

}  // namespace vmkeep::executor::libvirt
