#include "controller/access/identity.h"

#include "controller/access/errors.h"

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace vmkeep::controller {
namespace {

constexpr char kLocalPrincipal[] = "local";

// gRPC writes an address as a URI; the brackets of IPv6 are percent-encoded there.
bool IsLocal(absl::string_view address) {
  return absl::StartsWith(address, "unix:") || absl::StartsWith(address, "ipv4:127.") ||
         absl::StartsWith(address, "ipv6:[::1]:") || absl::StartsWith(address, "ipv6:%5B::1%5D:") ||
         absl::StartsWith(address, "ipv6:[::ffff:127.") ||
         absl::StartsWith(address, "ipv6:%5B::ffff:127.");
}

}  // namespace

absl::StatusOr<Caller> Identify(const Peer& peer, const AccessPolicy& policy) {
  if (peer.authenticated) {
    if (peer.common_name.empty()) return error::NoIdentity();
    const bool is_operator = policy.operators.contains(peer.common_name);
    return Caller{peer.common_name, kLocalProject, is_operator ? Role::kOperator : Role::kUser};
  }
  if (IsLocal(peer.address)) return Caller{kLocalPrincipal, kLocalProject, Role::kOperator};
  return error::NoIdentity();
}

}  // namespace vmkeep::controller
